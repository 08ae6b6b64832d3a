"""The questions a critique asks, one subject a module; each doubt takes a case and returns a remark or None."""
