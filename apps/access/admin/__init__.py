"""The admin's section Access."""

from apps.access.admin import tokens, users

__all__ = ["tokens", "users"]
