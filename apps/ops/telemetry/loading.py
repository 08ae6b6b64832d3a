"""Loads what is only there when it was asked for."""

from importlib import import_module
from typing import Any


class Missing(Exception):
    """A package that a setting needs is not installed; the sentence says how to install it."""


def load(name: str, setting: str) -> Any:
    """Return a module of an optional package. Raises Missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise Missing(f"{setting} is set: run 'pip install -r requirements-monitoring.txt', or unset it.") from None
