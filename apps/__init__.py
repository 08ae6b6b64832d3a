"""The parts of the product."""

from typing import Final

VERSION: Final = "0.4.0"  # the same in pyproject.toml and on top of CHANGELOG.md
