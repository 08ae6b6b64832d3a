"""Who we are at a broker: credentials, encrypted, and what the venue says of them."""

from django.conf import settings
from django.db import models


class Credential(models.Model):
    """A key of one broker, encrypted with a key that is not in the database. Written, never shown."""

    name = models.CharField(max_length=80)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="credentials")
    broker = models.CharField(max_length=32)
    address = models.CharField(max_length=200, default="", blank=True, help_text="Another address than the usual one.")
    options = models.JSONField(
        default=dict, blank=True, help_text="What the broker has to know to use the key, such as the exchange."
    )
    sealed = models.BinaryField(help_text="Key, secret and passphrase, encrypted.")
    ending = models.CharField(max_length=4, help_text="The last four characters of the key.")
    may_trade = models.BooleanField(null=True, help_text="As the venue says; empty where it does not.")
    may_withdraw = models.BooleanField(null=True)
    checked_at = models.DateTimeField(null=True, help_text="When the venue was last asked.")
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("owner", "name"), name="credential_name_per_owner"),)

    def __str__(self) -> str:
        return f"{self.name} (...{self.ending})"
