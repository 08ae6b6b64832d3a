"""The Celery application: a doorbell on the broker, configured from the one settings file."""

import os

from celery import Celery

from workers import queues

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")

app = Celery("tradingsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = queues.QUEUES
# Whoever asks for the current application, in whatever thread of this process, means this one.
app.set_default()
