"""A decision is a fact: PostgreSQL itself refuses to change or delete one."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("trading", "0005_orders_risk_and_keys"), ("journal", "0002_append_only")]
    operations = [
        migrations.RunSQL(
            "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON trading_decision "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()",
            "DROP TRIGGER append_only ON trading_decision",
        )
    ]
