"""Where what processes say goes: to standard error as lines, and, when it matters, into the database."""

from collections.abc import Sequence
from typing import Any


def logging_of(*, level: str, style: str, secrets: Sequence[str], urls: Sequence[str]) -> dict[str, Any]:
    """Return the setting LOGGING; secrets and the passwords of addresses are masked wherever lines go."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "friendly": {"()": "apps.ops.logs.formatting.Friendly"},
            "json": {"()": "apps.ops.logs.formatting.Json"},
        },
        "filters": {
            "secrets": {"()": "apps.trading.masking.SecretsFilter", "secrets": list(secrets), "urls": list(urls)}
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": style, "filters": ["secrets"]},
            "kept": {"()": "apps.ops.logs.keeping.Keeper", "level": "WARNING", "filters": ["secrets"]},
        },
        "root": {"handlers": ["stderr", "kept"], "level": level},
        # The web server brings handlers of its own, which would not mask: what it says goes where everything goes.
        "loggers": {
            "alembic": {"level": "WARNING"},
            "axes": {"level": "WARNING"},
            "uvicorn": {"handlers": [], "propagate": True},
        },
    }
