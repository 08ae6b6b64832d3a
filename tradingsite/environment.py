"""How settings read the environment: typed, with one clear line for each value that is missing or wrong.

The environment goes before the file `.env`; what both leave open may be set in the database while the site runs.
"""

import os
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from urllib.parse import urlsplit

import environ

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class ConfigurationError(Exception):
    """Values in the environment are missing or not allowed; each sentence names one and what is."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


class Environment:
    """Reads variables by type. A value that is not allowed is noted, and its default goes on: `finish` refuses all."""

    def __init__(self, dotenv: Path) -> None:
        self._env = environ.Env()
        self._wrong: list[str] = []
        self._read: set[str] = set()
        self._filed: dict[str, str] = {}
        if dotenv.exists():
            self._env.read_env(str(dotenv), overwrite=False)
            self._filed = _lines(dotenv)

    def refuse(self, sentence: str) -> None:
        """Note that something is missing or not allowed; `finish` says it with all the rest."""
        self._wrong.append(sentence)

    def finish(self) -> dict[str, str]:
        """Return where each variable that was read is set, `environment` or `file`. Raises ConfigurationError."""
        if self._wrong:
            raise ConfigurationError(*self._wrong)
        there = {name for name in self._read if os.environ.get(name, "").strip()}
        return {name: "file" if self._filed.get(name) == os.environ[name] else "environment" for name in there}

    def text(self, name: str, default: str = "") -> str:
        """Return the text of `name`, stripped."""
        self._read.add(name)
        return str(self._env.str(name, default=default)).strip()

    def flag(self, name: str, default: bool) -> bool:
        """Return a switch; allowed are 1/0, true/false, yes/no, on/off."""
        value = self.text(name, "1" if default else "0").lower()
        if value not in _TRUE | _FALSE:
            self.refuse(f"{name}={value!r} is not a switch: use 1 or 0 (or true/false, yes/no, on/off).")
            return default
        return value in _TRUE

    def integer(self, name: str, default: int, lowest: int, highest: int) -> int:
        """Return a whole number within bounds, both included."""
        value = self.text(name, str(default))
        if not (value.isascii() and value.lstrip("-").isdigit()) or not lowest <= int(value) <= highest:
            self.refuse(f"{name}={value!r} is not allowed: use a whole number from {lowest} to {highest}.")
            return default
        return int(value)

    def number(self, name: str, default: str, lowest: str, highest: str) -> Decimal:
        """Return a decimal number within bounds, both included."""
        value = self.text(name, default)
        try:
            number = Decimal(value) if value.isascii() and "_" not in value else Decimal("NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or not Decimal(lowest) <= number <= Decimal(highest):
            self.refuse(f"{name}={value!r} is not allowed: use a number from {lowest} to {highest}.")
            return Decimal(default)
        return number

    def choice(self, name: str, default: str, allowed: Sequence[str]) -> str:
        """Return one of a few words."""
        value = self.text(name, default)
        if value not in allowed:
            self.refuse(f"{name}={value!r} is not allowed: use one of {', '.join(allowed)}.")
            return default
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
            self.refuse(f"{name}={shown!r} is not allowed: use {wanted}.")
            return default
        return value


def _lines(dotenv: Path) -> dict[str, str]:
    """Return what a file sets, as it ends up in the environment."""
    found: dict[str, str] = {}
    for line in dotenv.read_text().splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = value.strip().strip("\"'")
    return found
