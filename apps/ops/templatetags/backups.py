"""The last backup and the last drill, for pages of apps that do not import this one."""

from datetime import datetime
from typing import NamedTuple

from django import template

from apps.ops.backups import selectors
from apps.ops.backups.models import BackupRun, Kind
from apps.ops.backups.selectors import Last

register = template.Library()


class Shown(NamedTuple):
    """One line: what it is, the last good one, whether that is too long ago, and the newest if it failed."""

    word: str
    good: BackupRun | None
    old: bool
    failed: BackupRun | None


@register.simple_tag
def last_backups(now: datetime) -> list[Shown]:
    """Return the lines of the last backup and the last drill, with one query."""
    return [_shown(kind, last, now) for kind, last in selectors.last().items()]


def _shown(kind: Kind, last: Last, now: datetime) -> Shown:
    old = last.good is not None and now - last.good.started_at > selectors.ALLOWED[kind]
    return Shown(kind.value, last.good, old, last.newest if last.failing else None)
