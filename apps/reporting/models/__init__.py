"""Channels, routes and deliveries; and what the remote control remembers."""

from apps.reporting.models.channels import Channel, Habit
from apps.reporting.models.control import BindingCode, Chat, Confirmation, Poll, Update, UpdateStatus
from apps.reporting.models.deliveries import Attempt, Delivery, DeliveryStatus, Outcome
from apps.reporting.models.routes import Place, Route, Wording

__all__ = [
    "Attempt",
    "BindingCode",
    "Channel",
    "Chat",
    "Confirmation",
    "Delivery",
    "DeliveryStatus",
    "Habit",
    "Outcome",
    "Place",
    "Poll",
    "Route",
    "Update",
    "UpdateStatus",
    "Wording",
]
