"""The private API on the wire: one module per dialect, each with a table `ROUTES`; the folder is walked by `door`."""
