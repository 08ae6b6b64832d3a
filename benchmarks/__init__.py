"""Reproducible measurements, each beside a baseline of the same run. `python -m benchmarks` runs them all."""
