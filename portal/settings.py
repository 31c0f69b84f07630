"""Every setting of the portal and its workers. Values come from the environment; a bad one stops the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env()


def _ports(value: str) -> range:
    first, _, last = value.partition("-")
    try:
        ports = range(int(first), int(last) + 1)
    except ValueError:
        raise EnvError(f"STAGEGATE_MODEL_PORTS is {value!r}; write it as 8200-8299") from None
    if not ports or not (ports[0] >= 1024 and ports[-1] <= 65535):
        raise EnvError(f"STAGEGATE_MODEL_PORTS is {value!r}; it must be a rising range within 1024-65535")
    return ports


HOME = Path(env.str("STAGEGATE_HOME", str(BASE_DIR / "var"))).resolve()
DEBUG = env.bool("STAGEGATE_DEBUG", False)
DEMO = env.bool("STAGEGATE_DEMO", False)
DEMO_HOUR_SECONDS = env.float("STAGEGATE_DEMO_HOUR_SECONDS", 10.0)
PUBLIC_URL = env.str("STAGEGATE_PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
SECRET_KEY = env.str("STAGEGATE_SECRET_KEY", "")
if not SECRET_KEY:
    raise ImproperlyConfigured("Set STAGEGATE_SECRET_KEY to a long random text; `make run` does it for you.")
ALLOWED_HOSTS = env.list("STAGEGATE_ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "rest_framework",
    "lifecycle",
    "portal",
    "portal.accounts",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.middleware.PageHeaders",
    "portal.middleware.ViewerTimeZone",
    "portal.web.answers.NotAllowedToForbidden",
]
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
ASGI_APPLICATION = "portal.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.web.context.shell",
            ],
        },
    }
]


def _database() -> dict[str, Any]:
    """SQLite unless DATABASE_URL says otherwise; measured settings, see docs/adr/0004-databases.md."""
    config = env.dj_db_url("DATABASE_URL", f"sqlite:///{HOME / 'stagegate.sqlite3'}")
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
    else:
        config.update(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)
    return dict(config)


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["portal.accounts.backends.People"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_NAME = "stagegate_session"
CSRF_COOKIE_NAME = "stagegate_csrf"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "portal.statics.PlotlyFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "portal.statics.GzippedManifestStorage"},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "portal.api.authentication.BearerToken",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["portal.api.parsers.BoundedJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "portal.api.pagination.Newest",
    "EXCEPTION_HANDLER": "portal.api.errors.problem",
    "UNAUTHENTICATED_USER": None,
}

REDIS_URL = env.str("REDIS_URL", "redis://127.0.0.1:6380/0")
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "socket_timeout": 10,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
}
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {"lifecycle.observe": {"queue": "observations"}}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = 240
CELERY_TASK_SOFT_TIME_LIMIT = 220
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 10
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = False

MLFLOW_TRACKING_URI = env.str("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000").rstrip("/")
MLFLOW_PUBLIC_URL = env.str("STAGEGATE_MLFLOW_PUBLIC_URL", MLFLOW_TRACKING_URI).rstrip("/")
MLFLOW_TIMEOUT_SECONDS = env.float("STAGEGATE_MLFLOW_TIMEOUT", 5.0)
WEBHOOK_SECRET = env.str("STAGEGATE_WEBHOOK_SECRET", "")

MIRROR_SECONDS = env.float("STAGEGATE_MIRROR_SECONDS", 5.0)
SWEEP_SECONDS = env.float("STAGEGATE_SWEEP_SECONDS", 5.0)
RETENTION_SECONDS = env.float("STAGEGATE_RETENTION_SECONDS", 24 * DEMO_HOUR_SECONDS if DEMO else 86400.0)
OBSERVE_SECONDS = env.float("STAGEGATE_OBSERVE_SECONDS", 2.0 if DEMO else 10.0)

GATEWAY_URL = env.str("STAGEGATE_GATEWAY_URL", "http://127.0.0.1:8080").rstrip("/")
GATEWAY_API = env.str("STAGEGATE_GATEWAY_API", "http://127.0.0.1:8081").rstrip("/")
GATEWAY_CONFIG_DIR = Path(env.str("STAGEGATE_GATEWAY_CONFIG_DIR", str(HOME / "gateway" / "routes")))
PROMETHEUS_URL = env.str("STAGEGATE_PROMETHEUS_URL", "").rstrip("/")
SUPERVISOR_URL = env.str("STAGEGATE_SUPERVISOR_URL", "http://127.0.0.1:9001").rstrip("/")
SUPERVISOR_USER = env.str("STAGEGATE_SUPERVISOR_USER", "stagegate")
SUPERVISOR_PASSWORD = env.str("STAGEGATE_SUPERVISOR_PASSWORD", "")
SERVERS_DIR = Path(env.str("STAGEGATE_SERVERS_DIR", str(HOME / "servers")))
MODEL_STORE = Path(env.str("STAGEGATE_MODEL_STORE", str(HOME / "models")))
MODEL_PORTS = _ports(env.str("STAGEGATE_MODEL_PORTS", "8200-8299"))
DRAIN_SECONDS = env.float("STAGEGATE_DRAIN_SECONDS", 10.0)

ADAPTERS = {
    "registry": "lifecycle.adapters.build.registry",
    "serving": "lifecycle.adapters.build.serving",
    "traffic": "lifecycle.adapters.build.traffic",
    "metrics": "lifecycle.adapters.build.metrics",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("STAGEGATE_LOG_LEVEL", "INFO")},
    "loggers": {"httpx": {"level": "WARNING"}, "celery.app.trace": {"level": "WARNING"}},
}
