"""What happened, append-only; and who may write on behalf of a role that only one process may hold."""

from django.db import models
from django.db.models.functions import Now


class Event(models.Model):
    """One fact, written in the transaction that made it true. Never updated, never deleted."""

    kind = models.CharField(max_length=64, help_text="What happened, as noun.verb: position.closed.")
    at = models.DateTimeField(db_default=Now(), help_text="When the transaction that wrote it began (UTC).")
    account_id = models.BigIntegerField(null=True, help_text="The account it belongs to; empty for the whole site.")
    subject = models.CharField(max_length=64, help_text="What it happened to, as noun:id: position:12.")
    actor = models.CharField(max_length=150, default="", blank=True, help_text="Who asked; empty for the machine.")
    payload = models.JSONField(default=dict, help_text="The facts, decimals as strings.")

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("subject", "id"), name="event_subject"),
            models.Index(fields=("account_id", "id"), name="event_account"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"


class Lease(models.Model):
    """Who leads a role (the listener of a shard, the sweeper) and since which epoch.

    The leader holds a PostgreSQL advisory lock; every take-over raises the epoch, and every write of a leader names
    its epoch, so that a leader that slept through its own replacement writes nothing.
    """

    name = models.CharField(primary_key=True, max_length=64)
    epoch = models.BigIntegerField(default=0)
    holder = models.CharField(max_length=120, default="", help_text="Host and process id.")
    backend_pid = models.IntegerField(default=0, help_text="The PostgreSQL backend that holds the lock.")
    acquired_at = models.DateTimeField(null=True)
    renewed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return f"{self.name} epoch {self.epoch}"


class Pulse(models.Model):
    """The last sign of life of one process, written every second or two; old rows are swept."""

    name = models.CharField(max_length=64, help_text="The role: web, listener:0, worker:exits, ...")
    host = models.CharField(max_length=120)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    facts = models.JSONField(default=dict, help_text="What the process counts: ticks, rates, ages, feed state.")

    class Meta:
        ordering = ("name", "host", "pid")
        constraints = (models.UniqueConstraint(fields=("host", "pid", "name"), name="pulse_one_per_process"),)

    def __str__(self) -> str:
        return f"{self.name} {self.host}:{self.pid}"
