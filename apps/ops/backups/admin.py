"""The pages of backups and drills: how each went."""

from apps.access.desk import cells
from apps.access.desk.rows import ReadOnlyPage

TONES = {"running": "busy", "done": "good", "failed": "bad"}


class BackupRunAdmin(ReadOnlyPage):
    """Backups and drills, newest first."""

    list_display = (
        "id",
        "kind",
        cells.word("status", tones=TONES),
        cells.instant("started_at", "began"),
        cells.instant("ended_at", "ended"),
        "name",
        "size",
        "sentence",
    )
    shown = (*list_display, cells.facts("facts"))
    list_filter = ("kind", "status")
    search_fields = ("name", "sentence")
