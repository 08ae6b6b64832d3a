"""Every setting of the product in one typed file, in the order of the apps. Defaults are safe for development;
`ENVIRONMENT=production` refuses those that would be dangerous there. docs/configuration.md lists every variable."""

import ipaddress
import os
import secrets
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import environ

from tradingsite import cors
from tradingsite.cors import *  # noqa: F403 - names that libraries look for in this module
from tradingsite.doors import REAUTHENTICATE_BEFORE as REAUTHENTICATE_BEFORE
from tradingsite.doors import REST_FRAMEWORK as REST_FRAMEWORK
from tradingsite.doors import SPECTACULAR_SETTINGS as SPECTACULAR_SETTINGS
from tradingsite.doors import UNFOLD as UNFOLD
from tradingsite.doors import content_policy
from tradingsite.environment import Environment
from tradingsite.logs import logging_of
from tradingsite.signing_in import *  # noqa: F403 - names that libraries look for in this module

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
            env.refuse("SECRET_KEY is too short for production: use at least 50 random characters.")
        return key
    if PRODUCTION:
        env.refuse("SECRET_KEY is missing: production needs at least 50 random characters.")
        return ""
    path = VAR / "secret_key"
    VAR.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return path.read_text()


SECRET_KEY = _secret_key()
SECRET_KEY_FALLBACKS = env.names("SECRET_KEY_FALLBACKS", "")
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS", "")
if PRODUCTION and (DEBUG or "*" in ALLOWED_HOSTS):
    env.refuse("DEBUG=1 or ALLOWED_HOSTS=* is not allowed in production: unset DEBUG and name the hosts.")

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
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "axes",
    "csp",
    "corsheaders",
    "apps.journal",
    "apps.access",
    "apps.market",
    "apps.strategies",
    "apps.backtests",
    "apps.trading",
    "apps.reporting",
    "apps.web",
    "apps.ops",
    "apps.simulator",
    "workers",
]
MIDDLEWARE = [
    "apps.ops.telemetry.middleware.RequestId",  # outermost: what the others log belongs to a request, too
    "apps.web.errors.DatabaseAway",
    "corsheaders.middleware.CorsMiddleware",
    "apps.web.packing.Packed",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "apps.access.middleware.SingleUser",
    "apps.access.middleware.Watch",
    "apps.access.middleware.Signed",
    "axes.middleware.AxesMiddleware",  # last, as it asks: it turns the answer to a locked-out sign-in into a 429
]
ROOT_URLCONF = "tradingsite.urls"
ASGI_APPLICATION = "tradingsite.asgi.application"
WSGI_APPLICATION = "tradingsite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "apps" / "web" / "templates"],  # before those of other packages
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.access.pages.site_look",
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
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
CSRF_FAILURE_VIEW = "apps.web.errors.csrf_failure"
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
    "workers.observing",
    "workers.tasks.backtests",
    "workers.tasks.market",
    "workers.tasks.ops",
    "workers.tasks.reporting",
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
CELERY_BEAT_SCHEDULER = "workers.beat:Scheduler"
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
LOGIN_URL = LOGOUT_REDIRECT_URL = "account_login"
LOGIN_REDIRECT_URL = "desk:overview"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
ON_LOOPBACK: Final = WEB_HOST in ("127.0.0.1", "localhost", "::1")
# Nobody signs in: whoever sits at this machine is the first superuser. See docs/security.md
SINGLE_USER: Final = env.flag("SINGLE_USER", default=False)
if SINGLE_USER and (PRODUCTION or not ON_LOOPBACK or set(ALLOWED_HOSTS) - {"localhost", "127.0.0.1", "[::1]"}):
    env.refuse(
        "SINGLE_USER=1 asks nobody for a password: it needs WEB_HOST and ALLOWED_HOSTS on loopback, and no production."
    )
_OFFERED: Final = DEMO and ON_LOOPBACK and not PRODUCTION
SECOND_FACTOR: Final = env.choice("SECOND_FACTOR", "offered" if _OFFERED else "required", ("offered", "required"))
if PRODUCTION and SECOND_FACTOR != "required":
    env.refuse("SECOND_FACTOR=offered is not allowed in production: staff need a second factor there.")
SESSION_IDLE: Final = timedelta(minutes=env.integer("SESSION_IDLE_MINUTES", 30, 1, 720))
SESSION_LONGEST: Final = timedelta(hours=env.integer("SESSION_HOURS", 12, 1, 168))
SESSION_COOKIE_AGE = int(SESSION_LONGEST.total_seconds())
REAUTHENTICATE_AFTER: Final = timedelta(minutes=env.integer("REAUTHENTICATE_MINUTES", 10, 1, 720))
# What limits count is kept in PostgreSQL: the same for all web processes, and still there after a restart.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "access_cache"}}
ACCOUNT_REAUTHENTICATION_TIMEOUT = int(REAUTHENTICATE_AFTER.total_seconds())
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION  # browsers allow keys without TLS on localhost only
OIDC_URL: Final = env.url("OIDC_URL", "", ("https", "http"))
if PRODUCTION and OIDC_URL.startswith("http:"):
    env.refuse("OIDC_URL must begin with https:// in production.")
SOCIALACCOUNT_ADAPTER = "apps.access.adapters.SingleSignOn"
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_PROVIDERS: dict[str, dict[str, Any]] = (
    {
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "APPS": [
                {
                    "provider_id": "sso",
                    "name": env.text("OIDC_NAME", "Single sign-on"),
                    "client_id": env.text("OIDC_CLIENT_ID"),
                    "secret": env.text("OIDC_CLIENT_SECRET"),
                    "settings": {"server_url": OIDC_URL},
                }
            ],
        }
    }
    if OIDC_URL
    else {}
)
CONTENT_SECURITY_POLICY = content_policy(OIDC_URL)

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
RUN_STRATEGIES: Final = env.flag("RUN_STRATEGIES", default=True)
STRATEGY_TIME_LIMIT: Final = env.integer("STRATEGY_TIME_LIMIT", 10, 1, 300)  # seconds, then its process is killed

# --- backtests ------------------------------------------------------------------------------------------------------
RUN_BACKTESTS: Final = env.flag("RUN_BACKTESTS", default=True)
GATE_PAPER_DAYS: Final = env.integer("GATE_PAPER_DAYS", 14, 0, 3650)

# --- trading --------------------------------------------------------------------------------------------------------
PAPER_CASH: Final = env.number("PAPER_CASH", "1000000", "0", "1000000000000")
PAPER_FEE_RATE: Final = env.number("PAPER_FEE_RATE", "0.001", "0", "0.1")
PAPER_SLIPPAGE_RATE: Final = env.number("PAPER_SLIPPAGE_RATE", "0.0001", "0", "0.1")
# An exit older than this is filled at the quote then in force, not at the price that triggered it.
EXIT_LATE_AFTER: Final = timedelta(seconds=env.integer("EXIT_LATE_SECONDS", 5, 1, 3600))
EXIT_BATCH: Final = env.integer("EXIT_BATCH", 1000, 1, 20_000)
# Real money needs this switch and the account's own. See docs/keys.md
LIVE_TRADING: Final = env.flag("LIVE_TRADING", default=False)
KEY_FILE: Final = Path(env.text("KEY_FILE") or VAR / "broker_keys").absolute()

# --- reporting ------------------------------------------------------------------------------------------------------
SEND_MESSAGES: Final = env.flag("SEND_MESSAGES", default=True)
SITE_ADDRESS: Final = env.text("SITE_ADDRESS").rstrip("/")  # for links in messages
if SITE_ADDRESS and not SITE_ADDRESS.startswith(("https://", "http://")):
    env.refuse(f"SITE_ADDRESS is {SITE_ADDRESS!r}: write it like https://trading.example.")
# Networks that messages may go to although they are not public, such as 10.1.0.0/16. See docs/notifications.md
NOTIFY_ALLOWED_NETWORKS = env.names("NOTIFY_ALLOWED_NETWORKS", "")
for _network in NOTIFY_ALLOWED_NETWORKS:
    try:
        ipaddress.ip_network(_network)
    except ValueError as error:
        env.refuse(f"NOTIFY_ALLOWED_NETWORKS names {_network!r}, which is no network: {error}.")

# --- web ------------------------------------------------------------------------------------------------------------
API_LIMITS: Final = {  # requests a minute; 0 is no limit. See docs/api.md
    "read": env.integer("API_READS_PER_MINUTE", 1200, 0, 1_000_000),
    "trade": env.integer("API_TRADES_PER_MINUTE", 600, 0, 1_000_000),
    "person": env.integer("API_PERSON_PER_MINUTE", 3000, 0, 1_000_000),
    "refused": env.integer("API_REFUSED_PER_MINUTE", 60, 0, 1_000_000),
}
JWT_MINUTES: Final = env.integer("JWT_MINUTES", 10, 0, 60)
JWT_HOURS: Final = env.integer("JWT_HOURS", 168, 1, 2160)
CORS_ALLOWED_ORIGINS = cors.read_origins(env.names("CORS_ALLOWED_ORIGINS", ""))
CORS_ALLOW_CREDENTIALS = env.flag("CORS_ALLOW_CREDENTIALS", default=False)

# --- processes ------------------------------------------------------------------------------------------------------
EXIT_WORKERS: Final = env.integer("EXIT_WORKERS", 2, 1, 64)
ORDER_WORKERS: Final = env.integer("ORDER_WORKERS", 2, 1, 64)
WORKERS: Final = env.integer("WORKERS", 2, 1, 64)
REPORTING_WORKERS: Final = env.integer("REPORTING_WORKERS", 1, 1, 64)
BACKTEST_WORKERS: Final = env.integer("BACKTEST_WORKERS", 2, 1, 64)
LISTENER_STANDBY: Final = env.flag("LISTENER_STANDBY", default=True)
HOST_NAME: Final = socket.gethostname()

# --- ops ------------------------------------------------------------------------------------------------------------
LOG_LEVEL: Final = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT: Final = env.choice("LOG_FORMAT", "friendly", ("friendly", "json"))
# Both need requirements-monitoring.txt, and are loaded only when they are named. See docs/monitoring.md
SENTRY_DSN: Final = env.url("SENTRY_DSN", "", ("https", "http"))
OTEL_EXPORTER_OTLP_ENDPOINT: Final = env.url("OTEL_EXPORTER_OTLP_ENDPOINT", "", ("https", "http"))


def _backup_keep() -> tuple[int, int, int]:
    """Return for how many days, weeks and months backups are kept."""
    words = env.names("BACKUP_KEEP", "7,5,12")
    if len(words) != 3 or not all(word.isascii() and word.isdigit() and int(word) <= 1000 for word in words):
        env.refuse("BACKUP_KEEP is not allowed: use three numbers up to 1000, days,weeks,months: 7,5,12.")
        return 7, 5, 12
    days, weeks, months = map(int, words)
    return days, weeks, months


BACKUP_DIR: Final = Path(env.text("BACKUP_DIR") or VAR / "backups").absolute()
BACKUP_KEEP: Final = _backup_keep()
BACKUP_KEY_FILE: Final = env.text("BACKUP_KEY_FILE")  # empty: backups are not sealed
DEFAULT_EXCEPTION_REPORTER = "apps.trading.error_pages.MaskedReporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "apps.trading.error_pages.AlwaysSafe"
LOGGING = logging_of(
    level=LOG_LEVEL,
    style=LOG_FORMAT,
    secrets=[SECRET_KEY, SENTRY_DSN],
    urls=[DATABASE_URL, MARKET_DATABASE_URL, REDIS_URL, BROKER_URL],
)

# Everything was read: what is wrong is said at once. What is named here cannot be changed live. docs/configuration.md
PINNED: Final = env.finish()
