"""Lets events of one kind be listed among millions of others; made without holding up those who write."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("journal", "0003_observing")]
    operations = [
        AddIndexConcurrently("event", models.Index(fields=["kind", "id"], name="event_kind")),
    ]
