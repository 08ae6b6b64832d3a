"""Risk rules: one file each, found by name, judging plain facts."""
