"""What happened, append-only; who may write on behalf of a role that one process may hold; how the site is doing."""

from datetime import timedelta
from decimal import Decimal
from typing import Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

MOST: Final = Decimal(10) ** 20  # of a measure; a bound also refuses what is no number


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
            models.Index(fields=("kind", "id"), name="event_kind"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"


class Seal(models.Model):
    """A hash of the events since the seal before, and of that one; see `seals.py`. Never updated, never deleted."""

    place = models.BigIntegerField(primary_key=True, help_text="1, 2, 3 ...: no place is left out.")
    until = models.BigIntegerField(help_text="The last event under it.")
    events = models.IntegerField(help_text="How many events are under it.")
    digest = models.CharField(max_length=64, help_text="SHA-256, in hexadecimal digits.")
    at = models.DateTimeField(help_text="When it was made (UTC).")

    class Meta:
        ordering = ("-place",)

    def __str__(self) -> str:
        return f"{self.place}:{self.digest}"


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


class LogLine(models.Model):
    """A warning or worse that a process logged, kept for weeks; beyond a bound the rest is counted, not kept."""

    at = models.DateTimeField(help_text="When it was logged, by the clock of its machine (UTC).")
    level = models.CharField(max_length=8, help_text="WARNING, ERROR or CRITICAL.")
    logger = models.CharField(max_length=120)
    process = models.CharField(max_length=64, help_text="The role: web, listener, worker-exits, ...")
    host = models.CharField(max_length=120)
    pid = models.IntegerField()
    message = models.TextField()
    trace = models.TextField(default="", blank=True, help_text="Where the exception came from.")
    request_id = models.CharField(max_length=64, default="", blank=True, help_text="The request or task it began with.")
    task = models.CharField(max_length=100, default="", blank=True)
    task_id = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=("at",), name="logline_at"),)

    def __str__(self) -> str:
        return f"{self.level} {self.process}: {self.message[:80]}"


class Measure(models.Model):
    """One key figure of the site at one minute; after a few days one an hour stays."""

    name = models.CharField(max_length=80, help_text="The metric, as it is called at /metrics.")
    labels = models.CharField(max_length=200, default="", blank=True, help_text="As Prometheus writes them, in order.")
    at = models.DateTimeField()
    value = models.DecimalField(max_digits=30, decimal_places=9)

    class Meta:
        ordering = ("-at", "name", "labels")
        constraints = (
            models.UniqueConstraint(fields=("name", "labels", "at"), name="measure_once"),
            models.CheckConstraint(condition=models.Q(value__gt=-MOST, value__lt=MOST), name="measure_is_a_number"),
        )
        indexes = (models.Index(fields=("at",), name="measure_at"),)

    def __str__(self) -> str:
        return f"{self.name}{{{self.labels}}} {self.value}"


class Canary(models.Model):
    """The last sign that a queue is served: a task sent through it, and when a worker ran it."""

    queue = models.CharField(primary_key=True, max_length=64)
    sent_at = models.DateTimeField(help_text="When the last one was sent.")
    answered_at = models.DateTimeField(null=True, help_text="When a worker last ran one.")
    took = models.DurationField(null=True, help_text="How long the last one took from sending to running.")
    since = models.DateTimeField(help_text="When the first one was sent that has not arrived yet, if any.")

    class Meta:
        ordering = ("queue",)
        verbose_name_plural = "canaries"

    def __str__(self) -> str:
        return self.queue


class TaskTally(models.Model):
    """How often a task ran, how long, and how long it waited: counts that only grow, of all workers together."""

    task = models.CharField(primary_key=True, max_length=100)
    queue = models.CharField(max_length=64)
    done = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    ran = models.DurationField(default=timedelta, help_text="In all.")
    runs = ArrayField(models.BigIntegerField(), default=list, help_text="Runs per bucket of seconds, the last: longer.")
    waited = models.DurationField(default=timedelta, help_text="In all.")
    waits = ArrayField(models.BigIntegerField(), default=list, help_text="Waits per bucket of seconds.")

    class Meta:
        ordering = ("task",)
        verbose_name_plural = "task tallies"

    def __str__(self) -> str:
        return self.task
