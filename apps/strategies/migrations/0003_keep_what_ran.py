from django.db import migrations
from django.db.models import Value

REASON = "It was switched on before stages came to be."


def keep(apps, schema_editor):
    """Strategies that were followed go on being followed, which is an override and written down as one."""
    strategy, event = apps.get_model("strategies", "Strategy"), apps.get_model("journal", "Event")
    rows = strategy.objects.filter(enabled=True)
    facts = [
        event(
            kind="strategy.overruled",
            subject=f"strategy:{row.pk}",
            payload={"strategy": row.name, "from": "draft", "to": "paper", "reason": REASON, "evidence": {}},
        )
        for row in rows
    ]
    rows.update(stage=Value("paper"))
    event.objects.bulk_create(facts)


class Migration(migrations.Migration):
    dependencies = [("strategies", "0002_stages"), ("journal", "0001_initial")]

    operations = [migrations.RunPython(keep, migrations.RunPython.noop)]
