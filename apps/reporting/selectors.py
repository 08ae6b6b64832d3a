"""Reading channels, routes and deliveries: a superuser sees all, anybody else their own."""

from typing import Any, TypeVar

from django.db import models

from apps.trading import selectors
from apps.trading.selectors import Caller

M = TypeVar("M", bound=models.Model)


def own(rows: "models.QuerySet[M]", user: Caller, **path: Any) -> "models.QuerySet[M]":
    """Return the rows a person may see; `path` names the person: `own(rows, user, owner=user.pk)`."""
    return rows if selectors.sees_all(user) else rows.filter(**path)
