"""Real PostgreSQL and a real Redis-compatible server without an operator: found, started, adopted, revived, stopped.

Imports no Django, so that settings can be read after the servers are up.
"""

from apps.ops.servers.errors import ServersUnavailable
from apps.ops.servers.holding import EMBEDDED, Addresses, alive, answers, hold, lease, pid, revive

__all__ = ["EMBEDDED", "Addresses", "ServersUnavailable", "alive", "answers", "hold", "lease", "pid", "revive"]
