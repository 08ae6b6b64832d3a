"""How an allocation follows signals becomes a choice: rows that are there keep what they did, new ones do as a backtest."""

from django.db import migrations, models

REASONS = [
    ("stop_loss", "stop loss"),
    ("take_profit", "take profit"),
    ("trailing_stop", "trailing stop"),
    ("break_even", "break even"),
    ("time_stop", "time stop"),
    ("manual", "manual"),
    ("api", "api"),
    ("signal", "signal"),
    ("risk", "risk"),
    ("kill_switch", "kill switch"),
]
ENTRIES = [("change", "change"), ("level", "level")]
SIDES = [("long", "long"), ("short", "short"), ("both", "both")]


def _entries(default: str) -> "models.CharField[str, str]":
    return models.CharField(
        choices=ENTRIES,
        default=default,
        help_text="Open when the stance changed from that of the bar before, or on every bar that is not flat.",
        max_length=6,
    )


def _exit_on_signal(default: bool) -> "models.BooleanField[bool, bool]":
    return models.BooleanField(
        default=default, help_text="Leave a lot once its strategy is flat or wants the other side."
    )


class Migration(migrations.Migration):
    dependencies = [("trading", "0002_append_only")]
    operations = [
        migrations.AddField(
            "allocation",
            "sides",
            models.CharField(choices=SIDES, default="both", help_text="Which positions it may open.", max_length=5),
        ),
        migrations.AddField("allocation", "entries", _entries("level")),
        migrations.AlterField("allocation", "entries", _entries("change")),
        migrations.AddField("allocation", "exit_on_signal", _exit_on_signal(False)),
        migrations.AlterField("allocation", "exit_on_signal", _exit_on_signal(True)),
        migrations.AlterField("exit", "reason", models.CharField(choices=REASONS, max_length=16)),
        migrations.AlterField(
            "position", "exit_reason", models.CharField(blank=True, choices=REASONS, default="", max_length=16)
        ),
    ]
