"""The history of settings: who changed what, when, from what to what, and why.

Triggers of PostgreSQL write it, so that no door can forget to: admin, API, commands, Telegram, a hand on the database.
Who and why travel beside the statement that changes a setting, see `signing`.
"""

from apps.access.history.signing import because, by

__all__ = ["because", "by"]
