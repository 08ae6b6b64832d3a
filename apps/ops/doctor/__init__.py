"""What is wrong with this site, in plain words, and what to do about it."""

from apps.ops.doctor.examining import examine
from apps.ops.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "examine"]
