"""What columns of this app share: the words of an enum as choices, and amounts that are real numbers."""

from enum import StrEnum

from django.db import models

from apps.domain import numbers


def choices(words: type[StrEnum]) -> list[tuple[str, str]]:
    """Return an enum of the domain as Django choices."""
    return [(str(word), str(word).replace("_", " ")) for word in words]


def finite(*fields: str) -> models.CheckConstraint:
    """Return a check that columns hold neither NaN nor an infinity."""
    limit = numbers.LIMIT
    condition = models.Q(*[models.Q(**{f"{f}__lt": limit, f"{f}__gt": -limit}) for f in fields])
    return models.CheckConstraint(condition=condition, name=f"%(class)s_{fields[0]}_finite")
