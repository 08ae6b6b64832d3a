"""Who may use the site, where they are signed in, and the tokens programs use it with."""

import hashlib

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person or a system account."""


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

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.scope})"

    @staticmethod
    def digest_of(text: str) -> str:
        """Return what is stored of a token: the hex SHA-256 of its text."""
        return hashlib.sha256(text.encode()).hexdigest()


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
