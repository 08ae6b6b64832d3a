"""Every setting of the product in one typed file, in the order of the apps. Defaults are safe for development;
`ENVIRONMENT=production` refuses those that would be dangerous there. docs/configuration.md lists every variable."""

import os
import secrets
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import environ

from tradingsite.environment import ConfigurationError, Environment

BASE_DIR: Final = Path(__file__).resolve().parent.parent
env = Environment(BASE_DIR / ".env")

# --- Site -----------------------------------------------------------------------------------------------------------
VAR: Final = Path(env.text("TRADINGSITE_VAR", str(BASE_DIR / "var"))).resolve()
ENVIRONMENT: Final = env.choice("ENVIRONMENT", "development", ("development", "production"))
PRODUCTION: Final = ENVIRONMENT == "production"
DEBUG = env.flag("DEBUG", default=False)
DEMO: Final = env.flag("DEMO", default=True)
WEB_HOST: Final = env.text("WEB_HOST", "127.0.0.1")
WEB_PORT: Final = env.integer("WEB_PORT", 8000, 0, 65535)
FLOWER_HOST: Final = env.text("FLOWER_HOST", "127.0.0.1")
FLOWER_PORT: Final = env.integer("FLOWER_PORT", 5555, 0, 65535)
SIMULATOR_PORT: Final = env.integer("SIMULATOR_PORT", 0, 0, 65535)


def _secret_key() -> str:
    """Return SECRET_KEY; in development one is made on first use and kept in the state directory."""
    key = env.text("SECRET_KEY")
    if key:
        if PRODUCTION and len(key) < 50:
            raise ConfigurationError("SECRET_KEY is too short for production: use at least 50 random characters.")
        return key
    if PRODUCTION:
        raise ConfigurationError("SECRET_KEY is missing: production needs at least 50 random characters.")
    path = VAR / "secret_key"
    VAR.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return path.read_text()


SECRET_KEY = _secret_key()
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS", "")
if PRODUCTION and (DEBUG or "*" in ALLOWED_HOSTS):
    raise ConfigurationError("DEBUG=1 or ALLOWED_HOSTS=* is not allowed in production: unset DEBUG and name the hosts.")

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "apps.journal",
    "apps.access",
    "apps.market",
    "apps.strategies",
    "apps.backtests",
    "apps.trading",
    "apps.web",
    "apps.ops",
    "apps.simulator",
    "workers",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "tradingsite.urls"
ASGI_APPLICATION = "tradingsite.asgi.application"
WSGI_APPLICATION = "tradingsite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns about a folder that is not there
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
SESSION_COOKIE_AGE = int(timedelta(hours=12).total_seconds())
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]  # asked for on loopback, where there is no TLS
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION

# --- Servers --------------------------------------------------------------------------------------------------------
_POSTGRES: Final = ("postgres", "postgresql")
DATABASE_URL: Final = env.url("DATABASE_URL", "", _POSTGRES)
MARKET_DATABASE_URL: Final = env.url("MARKET_DATABASE_URL", DATABASE_URL, _POSTGRES)
REDIS_URL: Final = env.url("REDIS_URL", "", ("redis", "rediss"))
BROKER_URL: Final = env.url("BROKER_URL", REDIS_URL, ("redis", "rediss", "amqp", "amqps"))
_SESSION_LIMITS: Final = "-c statement_timeout=30000 -c lock_timeout=3000 -c idle_in_transaction_session_timeout=10000"
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **environ.Env.db_url_config(DATABASE_URL or "postgres://unset@127.0.0.1:1/unset"),
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "options": _SESSION_LIMITS,
            "application_name": env.text("PROCESS_NAME", "tradingsite"),
        },
    }
}

# --- Celery: a doorbell, never the truth; settings as measured under faults (docs/decisions/0001) --------------------
CELERY_BROKER_URL = BROKER_URL
CELERY_IMPORTS = (
    "workers.lifecycle",
    "workers.tasks.backtests",
    "workers.tasks.market",
    "workers.tasks.ops",
    "workers.tasks.strategies",
    "workers.tasks.trading",
)
CELERY_TASK_ROUTES = ("workers.queues.route",)
CELERY_TASK_DEFAULT_QUEUE = "ops"
CELERY_TASK_DEFAULT_EXCHANGE = ""
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_EVENT_SERIALIZER = "json"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_ACKS_ON_FAILURE = True
CELERY_TASK_ACKS_ON_TIMEOUT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_MAX_TASKS_PER_CHILD = 20_000
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000  # kB
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 5
CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TASK_TIME_LIMIT = 30
CELERY_TASK_SOFT_TIME_LIMIT = 25
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_POOL_ACQUIRE_TIMEOUT = 5
CELERY_DB_REUSE_MAX = 1_000_000
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
CELERY_BEAT_SCHEDULE: dict[str, Any] = {}  # the timetable lives in rows; see workers/timetable.py
CELERY_BROKER_TRANSPORT = "workers.transport:Transport" if BROKER_URL.startswith("redis://") else None
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        "visibility_timeout": 90,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "global_keyprefix": "tradingsite:",
    }
    if BROKER_URL.startswith("redis")
    else {"confirm_publish": True}
)

# --- access ---------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "access.User"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# --- market ---------------------------------------------------------------------------------------------------------
SIMULATE: Final = DEMO and not env.text("COINBASE_WS_URL")  # `up` starts the simulated exchange
COINBASE_WS_URL: Final = env.url("COINBASE_WS_URL", "wss://ws-feed.exchange.coinbase.com", ("ws", "wss"))
COINBASE_REST_URL: Final = env.url("COINBASE_REST_URL", "https://api.exchange.coinbase.com", ("http", "https"))
INSTRUMENTS: Final = env.names("INSTRUMENTS", "BTC-USD,ETH-USD,SOL-USD,XRP-USD,ADA-USD,DOGE-USD,LTC-USD,LINK-USD")
RECORD_TICKS: Final = env.flag("RECORD_TICKS", default=True)
TICK_RETENTION_DAYS: Final = env.integer("TICK_RETENTION_DAYS", 14, 1, 3650)
QUOTE_STALE_AFTER: Final = timedelta(seconds=env.integer("QUOTE_STALE_SECONDS", 10, 1, 3600))
LISTENER_SHARDS: Final = env.integer("LISTENER_SHARDS", 1, 1, 64)

# --- strategies -----------------------------------------------------------------------------------------------------
STRATEGY_TIME_LIMIT: Final = env.integer("STRATEGY_TIME_LIMIT", 10, 1, 300)  # seconds, then its process is killed

# --- backtests ------------------------------------------------------------------------------------------------------
GATE_PAPER_DAYS: Final = env.integer("GATE_PAPER_DAYS", 14, 0, 3650)

# --- trading --------------------------------------------------------------------------------------------------------
PAPER_CASH: Final = env.number("PAPER_CASH", "1000000", "0", "1000000000000")
PAPER_FEE_RATE: Final = env.number("PAPER_FEE_RATE", "0.001", "0", "0.1")
PAPER_SLIPPAGE_RATE: Final = env.number("PAPER_SLIPPAGE_RATE", "0.0001", "0", "0.1")
# An exit older than this is filled at the quote then in force, not at the price that triggered it.
EXIT_LATE_AFTER: Final = timedelta(seconds=env.integer("EXIT_LATE_SECONDS", 5, 1, 3600))
EXIT_BATCH: Final = env.integer("EXIT_BATCH", 1000, 1, 20_000)

# --- processes ------------------------------------------------------------------------------------------------------
EXIT_WORKERS: Final = env.integer("EXIT_WORKERS", 2, 1, 64)
WORKERS: Final = env.integer("WORKERS", 2, 1, 64)
BACKTEST_WORKERS: Final = env.integer("BACKTEST_WORKERS", 2, 1, 64)
LISTENER_STANDBY: Final = env.flag("LISTENER_STANDBY", default=True)
HOST_NAME: Final = socket.gethostname()

# --- web ------------------------------------------------------------------------------------------------------------
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
    "ENUM_NAME_OVERRIDES": {
        "SideWord": "apps.domain.sides.Side",
        "LegKindWord": "apps.domain.legs.LegKind",
        "ExitReasonWord": "apps.domain.legs.ExitReason",
        "PositionStatusWord": "apps.domain.states.PositionStatus",
        "LegStatusWord": "apps.domain.states.LegStatus",
        "ExitStatusWord": "apps.domain.states.ExitStatus",
    },
}
UNFOLD = {
    "SITE_TITLE": "Trading site",
    "SITE_HEADER": "Trading site",
    "SITE_SYMBOL": "candlestick_chart",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "6px",
    "ENVIRONMENT": "apps.web.admin_site.environment",
    "DASHBOARD_CALLBACK": "apps.web.admin_site.dashboard",
    "STYLES": ["apps.web.admin_site.stylesheet"],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "apps.web.admin_site.favicon"}],
    "SIDEBAR": {"navigation": "apps.web.admin_site.navigation"},
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

# --- ops ------------------------------------------------------------------------------------------------------------
LOG_LEVEL: Final = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {"alembic": {"level": "WARNING"}},
}
