"""Seals over the journal, append-only as the events under them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("journal", "0004_events_by_kind")]
    operations = [
        migrations.CreateModel(
            name="Seal",
            fields=[
                (
                    "place",
                    models.BigIntegerField(
                        help_text="1, 2, 3 ...: no place is left out.", primary_key=True, serialize=False
                    ),
                ),
                ("until", models.BigIntegerField(help_text="The last event under it.")),
                ("events", models.IntegerField(help_text="How many events are under it.")),
                ("digest", models.CharField(help_text="SHA-256, in hexadecimal digits.", max_length=64)),
                ("at", models.DateTimeField(help_text="When it was made (UTC).")),
            ],
            options={"ordering": ("-place",)},
        ),
        migrations.RunSQL(
            "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON journal_seal "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()",
            "DROP TRIGGER append_only ON journal_seal",
        ),
    ]
