"""Where each broker is tried: one module per broker, named like it, with `opened()` and, where needed, `DATABASE`."""
