"""The admin's part of Strategies that knows results: runs are asked for, watched and compared; the gate promotes."""

from apps.backtests.admin import evidence, runs

__all__ = ["evidence", "runs"]
