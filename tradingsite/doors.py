"""How the API answers, how the admin looks and what browsers are told: what hardly a variable changes."""

from typing import Any

from django.urls import reverse_lazy

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.access.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["apps.access.permissions.ScopePermission"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "apps.web.pagination.LimitOffset",
    "DEFAULT_PARSER_CLASSES": ["apps.web.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "EXCEPTION_HANDLER": "apps.web.problems.handler",
    "DEFAULT_METADATA_CLASS": None,
    "URL_FORMAT_OVERRIDE": None,
    "COERCE_DECIMAL_TO_STRING": True,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Trading site",
    "DESCRIPTION": "Positions that are left by their stops and targets, never missed, never doubled, never silent. "
    "Decimals are strings, times are ISO 8601 with offset, problems follow RFC 9457.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.web.api.hooks.answers_are_whole",
    ],
    "ENUM_NAME_OVERRIDES": {
        "SideWord": "apps.domain.sides.Side",
        "LegKindWord": "apps.domain.legs.LegKind",
        "ExitReasonWord": "apps.domain.legs.ExitReason",
        "PositionStatusWord": "apps.domain.states.PositionStatus",
        "LegStatusWord": "apps.domain.states.LegStatus",
        "ExitStatusWord": "apps.domain.states.ExitStatus",
        "OrderStatusWord": "apps.domain.states.OrderStatus",
        "OrderKindWord": "apps.domain.orders.OrderKind",
        "TokenScopeWord": [("read", "READ"), ("trade", "TRADE"), ("admin", "ADMIN")],
        "ScopeWord": "apps.domain.restrictions.Scope",
        "TradingStateWord": "apps.domain.restrictions.TradingState",
        "StageWord": "apps.domain.backtests.gate.Stage",
        "RunStateWord": "apps.backtests.models.Run.State",
        "ReportKindWord": [(word, word.upper()) for word in ("daily", "weekly", "monthly", "morning")],
        "ReportStateWord": [(word, word.upper()) for word in ("wanted", "making", "made", "failed")],
        "ProcessStateWord": [(word, word) for word in ("live", "silent", "ended")],
        "RunKindWord": "apps.backtests.models.Run.Kind",
        "DiscrepancyKindWord": "apps.domain.reconciling.DiscrepancyKind",
    },
}
_TIMETABLE = (
    ("periodictask", "Tasks"),
    ("intervalschedule", "Every so often"),
    ("crontabschedule", "At minutes, hours, days"),
    ("clockedschedule", "Once"),
    ("solarschedule", "With the sun"),
)
UNFOLD = {
    "SITE_TITLE": "Trading site",
    "SITE_HEADER": "Trading site",
    "SITE_SYMBOL": "candlestick_chart",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "6px",
    "ENVIRONMENT": "apps.web.admin_site.environment",
    "DASHBOARD_CALLBACK": "apps.web.admin_glance.dashboard",
    "STYLES": ["apps.web.admin_site.stylesheet"],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "apps.web.admin_site.favicon"}],
    "SIDEBAR": {"navigation": "apps.web.admin_site.navigation"},
    "TABS": [
        {
            "models": [f"django_celery_beat.{model}" for model, _ in _TIMETABLE],
            "items": [
                {"title": title, "link": reverse_lazy(f"admin:django_celery_beat_{model}_changelist")}
                for model, title in _TIMETABLE
            ],
        }
    ],
    "ACCOUNT": {"navigation": "apps.access.pages.own"},
    "COLORS": {
        "primary": {
            "50": "oklch(97.1% .013 236)",
            "100": "oklch(94.6% .026 236)",
            "200": "oklch(89.4% .055 231)",
            "300": "oklch(81.5% .098 230)",
            "400": "oklch(73% .13 232)",
            "500": "oklch(63.5% .135 238)",
            "600": "oklch(54.5% .125 242)",
            "700": "oklch(47% .107 243)",
            "800": "oklch(41.5% .088 241)",
            "900": "oklch(37% .073 241)",
            "950": "oklch(28% .06 243)",
        }
    },
}

# Pages where one proves anew who one is, unless that was done just now. Names of addresses; a test walks them.
REAUTHENTICATE_BEFORE = (
    "admin:access_apitoken_add",
    "admin:access_user_add",
    "admin:access_user_change",
    "admin:auth_group_change",
    "admin:auth_user_password_change",
    "admin:ops_configurationversion_add",
    "admin:reporting_channel_add",
    "admin:reporting_channel_bind_chat",
    "admin:reporting_channel_replace_it",
    "admin:trading_account_real_money",
    "admin:trading_credential_add",
    "admin:trading_credential_delete_it",
    "admin:trading_credential_replace_secrets",
    "admin:trading_restriction_allow",
    "admin:trading_risklimit_add",
    "admin:trading_risklimit_change",
    "admin:trading_risklimit_delete",
    "admin:trading_risklimit_import_csv",
    "admin:trading_riskprofile_change",
    "admin:trading_riskprofile_delete",
)


def content_policy(single_sign_on: str) -> dict[str, Any]:
    """Return what pages may load and where forms may go; `single_sign_on` is the provider's address, or empty.

    The scripts of the admin evaluate what stands in attributes of its pages, and its colours are a style in the page.
    """
    return {
        "DIRECTIVES": {
            "default-src": ["'self'"],
            "script-src": ["'self'", "'unsafe-eval'"],
            "style-src": ["'self'", "'unsafe-inline'"],
            "img-src": ["'self'", "data:"],
            "object-src": ["'none'"],
            "base-uri": ["'none'"],
            "frame-ancestors": ["'none'"],
            # After a form was sent browsers hold the redirect to the provider of single sign-on against this, too.
            "form-action": ["'self'", *(["/".join(single_sign_on.split("/")[:3])] if single_sign_on else [])],
        }
    }
