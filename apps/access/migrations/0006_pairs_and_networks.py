"""Pairs of short-lived tokens, networks that a token is bound to, and the right to see everybody's accounts."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("access", "0003_roles_and_limits")]

    operations = [
        migrations.AlterModelOptions(
            name="user",
            options={
                "permissions": [("see_all_accounts", "Can see everybody's accounts and what hangs on them")],
                "verbose_name": "user",
                "verbose_name_plural": "users",
            },
        ),
        migrations.AddField(
            model_name="apitoken",
            name="networks",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="The only networks it may be used from, like 10.1.0.0/16; none: anywhere.",
            ),
        ),
        migrations.AddField(
            model_name="apitoken",
            name="seen_from",
            field=models.JSONField(
                default=dict, editable=False, help_text="The last addresses, with when it was there."
            ),
        ),
        migrations.CreateModel(
            name="Pair",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("read", "Read everything the user may see"),
                            ("trade", "Open, amend and close positions"),
                            ("admin", "Everything the user may do"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "sign",
                    models.CharField(
                        editable=False,
                        help_text="Changes with the password and factors; empty with a token.",
                        max_length=128,
                    ),
                ),
                (
                    "turn",
                    models.PositiveIntegerField(
                        default=0, help_text="How often it was renewed; only the newest turn renews."
                    ),
                ),
                ("address", models.GenericIPAddressField(null=True)),
                ("created_at", models.DateTimeField()),
                ("renewed_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "token",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pairs",
                        to="access.apitoken",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="pairs", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={"ordering": ("-id",), "default_permissions": ("view",)},
        ),
    ]
