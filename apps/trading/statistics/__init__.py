"""What did trading bring? Figures over fills, lots, exits and the ledger, each by a fixed number of statements.

`trades` counts closed lots, `books` sums the ledger, `lots` shows what is open, `matching` realises by FIFO or average
cost, `latency` says how fast exits were, `equity` draws an account through time. Formulas: docs/figures.md.
"""
