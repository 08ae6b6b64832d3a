"""What is done with backtests: runs that are computed once, kept, and found again."""
