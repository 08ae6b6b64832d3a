"""Registers the simulator with Django, for its management command only: it has no models."""

from django.apps import AppConfig


class SimulatorConfig(AppConfig):
    name = "apps.simulator"
    label = "simulator"
    verbose_name = "Exchange simulator"
