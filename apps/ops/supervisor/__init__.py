"""The process supervisor behind `manage.py up`."""

from apps.ops.supervisor.children import Child, Snapshot, State
from apps.ops.supervisor.loop import Supervisor
from apps.ops.supervisor.once import AlreadyRunning, Claim, only_one

__all__ = ["AlreadyRunning", "Child", "Claim", "Snapshot", "State", "Supervisor", "only_one"]
