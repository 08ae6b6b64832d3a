"""What changes strategies and makes their signals."""

from apps.strategies.services.running import run_due, settle

__all__ = ["run_due", "settle"]
