"""Channels, routes and deliveries; what the remote control remembers; and reports."""

from apps.reporting.models.channels import Channel, Habit
from apps.reporting.models.control import BindingCode, Chat, Confirmation, Poll, Update, UpdateStatus
from apps.reporting.models.deliveries import Attempt, Delivery, DeliveryStatus, Outcome
from apps.reporting.models.reports import FileFormat, Report, ReportFile, ReportKind, ReportState
from apps.reporting.models.routes import Place, Route, Wording

__all__ = [
    "Attempt",
    "BindingCode",
    "Channel",
    "Chat",
    "Confirmation",
    "Delivery",
    "DeliveryStatus",
    "FileFormat",
    "Habit",
    "Outcome",
    "Place",
    "Poll",
    "Report",
    "ReportFile",
    "ReportKind",
    "ReportState",
    "Route",
    "Update",
    "UpdateStatus",
    "Wording",
]
