"""The four roles, and the table in which limits on sign-in are counted."""

from django.core.management import call_command
from django.db import migrations


def make_table(apps, schema_editor):
    """Make the table of the cache that the settings name; a no-op when it is there."""
    call_command("createcachetable", verbosity=0, database=schema_editor.connection.alias)


def drop_table(apps, schema_editor):
    """Drop it; what it holds is forgotten."""
    schema_editor.execute("DROP TABLE IF EXISTS access_cache")


def make_roles(apps, schema_editor):
    """Make the groups; their permissions follow when each app's permissions exist, see apps.access.roles."""
    groups = apps.get_model("auth", "Group").objects.using(schema_editor.connection.alias)
    for name in ("Viewer", "Trader", "Risk officer", "Administrator"):
        groups.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = [("access", "0002_signin"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [
        migrations.RunPython(make_table, drop_table),
        migrations.RunPython(make_roles, migrations.RunPython.noop),
    ]
