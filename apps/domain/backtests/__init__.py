"""Backtests: one compiled loop over arrays that applies the rules of live trading under stated conventions."""
