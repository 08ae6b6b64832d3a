"""The REST API: what programs send and get, one module per kind of thing."""
