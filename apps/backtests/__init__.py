"""Backtests: strategies on history, how far the result can be believed, and what is kept of it."""
