"""Who may use the site, where they are signed in, and the tokens programs use it with."""

import hashlib

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Now


class User(AbstractUser):
    """A person or a system account."""

    class Meta(AbstractUser.Meta):
        permissions = [("see_all_accounts", "Can see everybody's accounts and what hangs on them")]


class Scope(models.TextChoices):
    """What a token may do; each scope includes those before it."""

    READ = "read", "Read everything the user may see"
    TRADE = "trade", "Open, amend and close positions"
    ADMIN = "admin", "Everything the user may do"


class ApiToken(models.Model):
    """A token for the API. Only its SHA-256 is stored; the text is shown once."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80, default="", blank=True)
    prefix = models.CharField(max_length=16, help_text="The first characters, to recognise it by.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scope = models.CharField(max_length=8, choices=Scope.choices, default=Scope.READ)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)
    networks = models.JSONField(
        default=list, blank=True, help_text="The only networks it may be used from, like 10.1.0.0/16; none: anywhere."
    )
    seen_from = models.JSONField(default=dict, editable=False, help_text="The last addresses, with when it was there.")

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.scope})"

    @staticmethod
    def digest_of(text: str) -> str:
        """Return what is stored of a token: the hex SHA-256 of its text."""
        return hashlib.sha256(text.encode()).hexdigest()


class Pair(models.Model):
    """A pair of signed tokens (JWT): a short one that lets in, and a long one that is taken once for the next pair.

    The row holds what can be taken back; neither token is stored.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="pairs")
    token = models.ForeignKey(ApiToken, null=True, on_delete=models.CASCADE, related_name="pairs")
    scope = models.CharField(max_length=8, choices=Scope.choices)
    sign = models.CharField(
        max_length=128, editable=False, help_text="Changes with the password and factors; empty with a token."
    )
    turn = models.PositiveIntegerField(default=0, help_text="How often it was renewed; only the newest turn renews.")
    address = models.GenericIPAddressField(null=True)
    created_at = models.DateTimeField()
    renewed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.prefix} ({self.scope})"

    @property
    def prefix(self) -> str:
        """Return what it is recognised by in the journal."""
        return f"jwt {self.pk}"


class SignIn(models.Model):
    """A browser in which a person signed in; whether it still is, the session itself says."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_ins")
    session_key = models.CharField(max_length=40, unique=True, editable=False)
    address = models.GenericIPAddressField(null=True, editable=False)
    agent = models.CharField(max_length=200, default="", editable=False)
    signed_in_at = models.DateTimeField(editable=False)
    seen_at = models.DateTimeField(editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("-seen_at", "-id")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.user} since {self.signed_in_at:%Y-%m-%d %H:%M}"


class Change(models.Model):
    """One change of a setting, written by a trigger in the transaction that made it. Never updated, never deleted."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    subject = models.CharField(max_length=90, help_text="On whose page it is shown: table:id.")
    source_table = models.CharField("table", max_length=64)
    row_id = models.CharField("row", max_length=24)
    action = models.CharField(max_length=8, choices=[(word, word) for word in ("added", "changed", "deleted")])
    old = models.JSONField(default=dict, help_text="What was there, of the columns that differ.")
    new = models.JSONField(default=dict)
    actor = models.CharField(max_length=150, default="", help_text="Who; empty for the machine.")
    source = models.CharField(max_length=64, default="", help_text="By which door.")
    reason = models.CharField(max_length=300, default="", help_text="Why, as the person said.")

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=("subject", "-id"), name="change_subject"),
            models.Index(fields=("at",), name="change_at"),
        )

    def __str__(self) -> str:
        return f"{self.source_table} {self.row_id} {self.action}"
