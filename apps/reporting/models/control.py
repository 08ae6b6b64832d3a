"""Remote control by Telegram: who speaks in which chat, what was asked, and what waits for a yes."""

from django.conf import settings
from django.db import models

from apps.reporting.models.channels import Channel


class Chat(models.Model):
    """A private chat bound to a person: what is asked there is asked by them."""

    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="chats")
    chat_id = models.BigIntegerField()
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="telegram_chats")
    bound_at = models.DateTimeField()

    class Meta:
        ordering = ("person", "chat_id")
        constraints = (models.UniqueConstraint(fields=("channel", "chat_id"), name="chat_once_per_bot"),)

    def __str__(self) -> str:
        return f"{self.person} in chat {self.chat_id}"


class BindingCode(models.Model):
    """A code that binds the chat it is sent from, once. Only its SHA-256 is stored."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"code of {self.person_id}"


class UpdateStatus(models.TextChoices):
    """How far an update of the bot was dealt with."""

    STORED = "stored", "to be executed"
    RUNNING = "running", "being executed"
    ANSWERED = "answered", "executed; the answer is stored"
    INTERRUPTED = "interrupted", "the process ended in the middle: not executed again"


class Poll(models.Model):
    """How far a bot's updates were taken."""

    channel = models.OneToOneField(Channel, on_delete=models.CASCADE, primary_key=True)
    offset = models.BigIntegerField(default=0, help_text="The next update to ask for.")

    def __str__(self) -> str:
        return f"{self.channel_id} at {self.offset}"


class Update(models.Model):
    """One thing somebody sent to a bot: stored before anything is done about it, executed at most once."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="updates")
    update_id = models.BigIntegerField()
    chat_id = models.BigIntegerField()
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    text = models.CharField(max_length=400)
    button = models.CharField(max_length=64, default="", blank=True, help_text="The pressed button's own number.")
    sent_at = models.DateTimeField(null=True, help_text="When it was written, as Telegram says.")
    stored_at = models.DateTimeField()
    status = models.CharField(max_length=11, choices=UpdateStatus.choices, default=UpdateStatus.STORED)
    answer = models.TextField(default="", blank=True)
    keyboard = models.JSONField(default=list, blank=True)
    answered_at = models.DateTimeField(null=True, help_text="When the answer was handed to Telegram.")

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("channel", "update_id"), name="update_once"),)
        indexes = (
            models.Index(
                fields=("channel", "update_id"), name="update_open", condition=models.Q(answered_at__isnull=True)
            ),
        )

    def __str__(self) -> str:
        return f"{self.update_id} {self.text[:40]}"


class Confirmation(models.Model):
    """Something dangerous that waits for a yes from the same chat, for a minute, once."""

    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="confirmations")
    command = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the code.")
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.command
