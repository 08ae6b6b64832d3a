"""Fills and ledger lines are facts: PostgreSQL itself refuses to change or delete one."""

from django.db import migrations


def _append_only(table: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        f"DROP TRIGGER append_only ON {table}",
    )


class Migration(migrations.Migration):
    dependencies = [("trading", "0001_initial"), ("journal", "0002_append_only")]
    operations = [_append_only("trading_fill"), _append_only("trading_ledgerentry")]
