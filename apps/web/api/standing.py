"""How the site's parts stand, for the API: processes, queues, leaders, backups. Where they run is for staff."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.apps import apps
from rest_framework import serializers

from apps.journal.models import Lease, Pulse
from apps.web.desk import health
from apps.web.desk.system import LEASE_SILENT

LIVE, SILENT, ENDED = "live", "silent", "ended"
_STALE: Final = timedelta(hours=1)  # a process that was silent for so long belongs to an earlier run


class ProcessOut(serializers.Serializer[Any]):
    """A process and its last sign of life."""

    name = serializers.CharField()
    state = serializers.ChoiceField(choices=[LIVE, SILENT, ENDED], help_text="ended: another of its name is live.")
    beat_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField()
    host = serializers.CharField(allow_null=True, help_text="For staff.")
    pid = serializers.IntegerField(allow_null=True, help_text="For staff.")


class LeaderOut(serializers.Serializer[Any]):
    """Who leads a role: of several processes that could do a thing, one does."""

    name = serializers.CharField()
    leads = serializers.BooleanField(help_text="Whether the lease was renewed lately.")
    epoch = serializers.IntegerField()
    renewed_at = serializers.DateTimeField(allow_null=True)
    holder = serializers.CharField(allow_null=True, help_text="For staff.")


class QueueOut(serializers.Serializer[Any]):
    """How many messages wait in a queue."""

    name = serializers.CharField()
    waiting = serializers.IntegerField()


class BackupOut(serializers.Serializer[Any]):
    """The newest backup, or restore of one for trial."""

    kind = serializers.CharField()
    status = serializers.CharField()
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


def processes(now: datetime, *, is_staff: bool) -> list[dict[str, Any]]:
    """Return the processes that gave a sign of life within an hour."""
    rows = list(Pulse.objects.filter(beat_at__gt=now - _STALE).order_by("name", "host", "pid"))
    live = {row.name for row in rows if now - row.beat_at < health.SILENT_AFTER}
    return [
        {
            "name": row.name,
            "state": _state(row, live, now),
            "beat_at": row.beat_at,
            "started_at": row.started_at,
            "host": row.host if is_staff else None,
            "pid": row.pid if is_staff else None,
        }
        for row in rows
    ]


def leaders(now: datetime, *, is_staff: bool) -> list[dict[str, Any]]:
    """Return who leads each role."""
    return [
        {
            "name": row.name,
            "leads": row.renewed_at is not None and now - row.renewed_at < LEASE_SILENT,
            "epoch": row.epoch,
            "renewed_at": row.renewed_at,
            "holder": row.holder if is_staff else None,
        }
        for row in Lease.objects.all()
    ]


def queues() -> list[dict[str, Any]] | None:
    """Return the length of each queue; None when Redis does not answer, or the broker is another."""
    lengths = health.lengths()
    return [{"name": name, "waiting": count} for name, count in sorted(lengths.items())] if lengths else None


def backup() -> Mapping[str, Any] | None:
    """Return the newest backup; a row of `ops`, which stands beside `web` and is asked for by name."""
    rows = apps.get_model("ops", "BackupRun")._default_manager.order_by("-id")
    return rows.values("kind", "status", "started_at", "ended_at").first()


def _state(row: Pulse, live: set[str], now: datetime) -> str:
    if now - row.beat_at < health.SILENT_AFTER:
        return LIVE
    return ENDED if row.name in live else SILENT
