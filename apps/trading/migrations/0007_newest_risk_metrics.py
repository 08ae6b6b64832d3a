"""Lets the measures of all accounts be listed newest first; made without holding up those who write."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("trading", "0006_append_only_decisions")]
    operations = [
        AddIndexConcurrently("riskmetric", models.Index(fields=["-at", "account"], name="riskmetric_newest")),
    ]
