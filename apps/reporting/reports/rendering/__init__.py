"""A document as a file: HTML that opens without a network, PDF to keep and send, CSV to compute with."""
