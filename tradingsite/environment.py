"""How settings read the environment: typed, with one clear line for a value that is missing or wrong."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from urllib.parse import urlsplit

import environ

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class ConfigurationError(Exception):
    """A value in the environment is missing or not allowed; the sentence names it and what is."""


class Environment:
    """Reads environment variables by type; every reader names the variable and the allowed values when it refuses."""

    def __init__(self, dotenv: Path) -> None:
        self._env = environ.Env()
        if dotenv.exists():
            self._env.read_env(str(dotenv), overwrite=False)

    def text(self, name: str, default: str = "") -> str:
        """Return the text of `name`, stripped."""
        return str(self._env.str(name, default=default)).strip()

    def flag(self, name: str, default: bool) -> bool:
        """Return a switch; allowed are 1/0, true/false, yes/no, on/off."""
        value = self.text(name, "1" if default else "0").lower()
        if value not in _TRUE | _FALSE:
            raise ConfigurationError(f"{name}={value!r} is not a switch: use 1 or 0 (or true/false, yes/no, on/off).")
        return value in _TRUE

    def integer(self, name: str, default: int, lowest: int, highest: int) -> int:
        """Return a whole number within bounds, both included."""
        value = self.text(name, str(default))
        if not (value.isascii() and value.lstrip("-").isdigit()) or not lowest <= int(value) <= highest:
            raise ConfigurationError(f"{name}={value!r} is not allowed: use a whole number from {lowest} to {highest}.")
        return int(value)

    def number(self, name: str, default: str, lowest: str, highest: str) -> Decimal:
        """Return a decimal number within bounds, both included."""
        value = self.text(name, default)
        try:
            number = Decimal(value) if value.isascii() and "_" not in value else Decimal("NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or not Decimal(lowest) <= number <= Decimal(highest):
            raise ConfigurationError(f"{name}={value!r} is not allowed: use a number from {lowest} to {highest}.")
        return number

    def choice(self, name: str, default: str, allowed: Sequence[str]) -> str:
        """Return one of a few words."""
        value = self.text(name, default)
        if value not in allowed:
            raise ConfigurationError(f"{name}={value!r} is not allowed: use one of {', '.join(allowed)}.")
        return value

    def names(self, name: str, default: str) -> list[str]:
        """Return a comma-separated list without empty items."""
        return [item.strip() for item in self.text(name, default).split(",") if item.strip()]

    def url(self, name: str, default: str, schemes: Sequence[str]) -> str:
        """Return a URL with one of the schemes and a host; an empty default may stay empty."""
        value = self.text(name, default)
        if not value and not default:
            return value
        try:
            parts = urlsplit(value)
            ok = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            ok = False
        if not ok:
            shown = f"{value.split('://')[0]}://..." if "@" in value else value
            wanted = " or ".join(f"{scheme}://HOST[:PORT]" for scheme in schemes)
            raise ConfigurationError(f"{name}={shown!r} is not allowed: use {wanted}.")
        return value
