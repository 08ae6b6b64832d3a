"""The history of settings: a table, and the function by which triggers fill it (they are set by apps.access.history)."""

import django.db.models.functions.datetime
from django.db import migrations, models

# Arguments of a trigger: columns that change by themselves, columns never to be shown, and where the row belongs to
# another row's page, that table and the column that names the row.
FUNCTION = """
CREATE FUNCTION access_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was jsonb := CASE WHEN TG_OP = 'INSERT' THEN '{}'::jsonb ELSE to_jsonb(OLD) END;
    now_is jsonb := CASE WHEN TG_OP = 'DELETE' THEN '{}'::jsonb ELSE to_jsonb(NEW) END;
    either jsonb := was || now_is;
    spared text[] := string_to_array(TG_ARGV[0], ',');
    secret text[] := string_to_array(TG_ARGV[1], ',');
    shown_old jsonb;
    shown_new jsonb;
BEGIN
    SELECT jsonb_object_agg(key, CASE WHEN key = ANY(secret) THEN '"(secret)"' ELSE was -> key END)
               FILTER (WHERE was ? key AND was -> key <> 'null'),
           jsonb_object_agg(key, CASE WHEN key = ANY(secret) THEN '"(secret)"' ELSE now_is -> key END)
               FILTER (WHERE now_is ? key AND (TG_OP = 'UPDATE' OR now_is -> key <> 'null'))
      INTO shown_old, shown_new
      FROM jsonb_object_keys(either) AS key
     WHERE key <> ALL(spared) AND was -> key IS DISTINCT FROM now_is -> key;
    IF shown_old IS NULL AND shown_new IS NULL AND TG_OP = 'UPDATE' THEN
        RETURN NULL;
    END IF;
    INSERT INTO access_change (at, subject, source_table, row_id, action, old, new, actor, source, reason)
    VALUES (
        clock_timestamp(),
        CASE WHEN TG_ARGV[2] = '' THEN TG_TABLE_NAME || ':' || (either ->> 'id')
             ELSE TG_ARGV[2] || ':' || coalesce(either ->> TG_ARGV[3], '') END,
        TG_TABLE_NAME,
        either ->> 'id',
        CASE TG_OP WHEN 'INSERT' THEN 'added' WHEN 'UPDATE' THEN 'changed' ELSE 'deleted' END,
        coalesce(shown_old, '{}'),
        coalesce(shown_new, '{}'),
        coalesce(current_setting('tradingsite.actor', true), ''),
        coalesce(nullif(current_setting('tradingsite.source', true), ''), current_setting('application_name')),
        coalesce(current_setting('tradingsite.reason', true), '')
    );
    RETURN NULL;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("access", "0006_pairs_and_networks"), ("journal", "0002_append_only")]

    operations = [
        migrations.CreateModel(
            name="Change",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("subject", models.CharField(help_text="On whose page it is shown: table:id.", max_length=90)),
                ("source_table", models.CharField(max_length=64, verbose_name="table")),
                ("row_id", models.CharField(max_length=24, verbose_name="row")),
                (
                    "action",
                    models.CharField(
                        choices=[("added", "added"), ("changed", "changed"), ("deleted", "deleted")], max_length=8
                    ),
                ),
                ("old", models.JSONField(default=dict, help_text="What was there, of the columns that differ.")),
                ("new", models.JSONField(default=dict)),
                ("actor", models.CharField(default="", help_text="Who; empty for the machine.", max_length=150)),
                ("source", models.CharField(default="", help_text="By which door.", max_length=64)),
                ("reason", models.CharField(default="", help_text="Why, as the person said.", max_length=300)),
            ],
            options={
                "ordering": ("-id",),
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["subject", "-id"], name="change_subject"),
                    models.Index(fields=["at"], name="change_at"),
                ],
            },
        ),
        migrations.RunSQL(FUNCTION, "DROP FUNCTION access_note_change() CASCADE"),
        migrations.RunSQL(
            "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON access_change "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()",
            "DROP TRIGGER append_only ON access_change",
        ),
    ]
