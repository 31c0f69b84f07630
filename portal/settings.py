"""Every setting of the portal and its workers. Values come from the environment; a bad one stops the start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError, validate

from portal.accounts.claims import Grant, parse_map

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


def _path(value: str) -> Path | None:
    """A path; "none" says that there is to be none."""
    return None if value == "none" else Path(value)


def _options(prefix: str) -> dict[str, str]:
    """Every variable with this prefix, by the rest of its name in small letters."""
    return {name.removeprefix(prefix).lower(): value for name, value in os.environ.items() if name.startswith(prefix)}


def _webhook(value: str) -> str:
    parts = urlsplit(value)
    if value and parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise EnvError("STAGEGATE_CHECKPOINT_WEBHOOK must begin with https:// unless it is on this machine")
    return value


def _roles(value: str) -> Mapping[str, frozenset[Grant]]:
    try:
        return parse_map(value)
    except ValueError as error:
        raise EnvError(f"STAGEGATE_OIDC_ROLES_MAP cannot be read: {error}") from None


HOME = Path(env.str("STAGEGATE_HOME", str(BASE_DIR / "var"))).resolve()
DEBUG = env.bool("STAGEGATE_DEBUG", False)
DEMO = env.bool("STAGEGATE_DEMO", False)
DEMO_HOUR_SECONDS = env.float("STAGEGATE_DEMO_HOUR_SECONDS", 10.0)
PUBLIC_URL = env.str("STAGEGATE_PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
PUBLIC_URL_IS_SET = "STAGEGATE_PUBLIC_URL" in os.environ
"""Without it nobody knows by which address other machines reach the portal, so none is written to MLflow."""
SECRET_KEY = env.str("STAGEGATE_SECRET_KEY", "")
if not SECRET_KEY:
    raise ImproperlyConfigured("Set STAGEGATE_SECRET_KEY to a long random text; `make run` does it for you.")
SECRET_KEY_FALLBACKS: list[str] = env.list("STAGEGATE_SECRET_KEY_FALLBACKS", [])
ALLOWED_HOSTS = env.list("STAGEGATE_ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
HTTPS = PUBLIC_URL.startswith("https://")
TRUSTED_PROXIES = env.int("STAGEGATE_TRUSTED_PROXIES", 0, validate=validate.Range(min=0, max=9))
"""How many proxies of our own stand before the portal, each of which appends to X-Forwarded-For."""

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
    "drf_spectacular",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "csp",
    "lifecycle",
    "portal",
    "portal.accounts",
    "portal.api",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "portal.api.errors.AsProblems",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "portal.middleware_permissions.PermissionTable",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.middleware.PageHeaders",
    "portal.middleware.ViewerTimeZone",
    "portal.web.answers.RefusalPages",
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
            "builtins": ["portal.templatetags.short"],
        },
    }
]


def _mail_url(value: str) -> str:
    """Never repeated in an error: it holds a password."""
    if value and not value.startswith(("mailto://", "mailtos://")):
        raise EnvError("STAGEGATE_MAIL_URL must start with mailtos:// or mailto://; see docs/NOTICES.md")
    return value


MAIL_URL = _mail_url(env.str("STAGEGATE_MAIL_URL", ""))


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
        config.update(CONN_HEALTH_CHECKS=True)
    # Kept between requests: SQLite would read the whole schema anew for each of them, which takes some milliseconds.
    config["CONN_MAX_AGE"] = 60
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

ACCOUNT_ADAPTER = "portal.accounts.adapters.Accounts"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_FORMS = {"login": "portal.accounts.forms.SignInForm"}
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_RATE_LIMITS = {
    "login": "60/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "reauthenticate": "10/m/user",
    "change_password": "5/m/user",
    "csp_report": "30/m/ip",
}
MFA_ADAPTER = "portal.accounts.adapters.SecondFactors"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {
    "add_webauthn": "portal.accounts.forms.AddPasskeyForm",
    "edit_webauthn": "portal.accounts.forms.RenamePasskeyForm",
}
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "Stagegate"
MFA_ALLOW_UNVERIFIED_EMAIL = True

OIDC_URL = env.str("STAGEGATE_OIDC_URL", "").removesuffix("/.well-known/openid-configuration").rstrip("/")
OIDC_CLIENT_ID = env.str("STAGEGATE_OIDC_CLIENT_ID", "")
OIDC_CLIENT_SECRET = env.str("STAGEGATE_OIDC_CLIENT_SECRET", "")
OIDC_NAME = env.str("STAGEGATE_OIDC_NAME", "single sign-on", validate=validate.Length(min=1, max=35))
OIDC_ROLES_CLAIM = env.str("STAGEGATE_OIDC_ROLES_CLAIM", "groups")
OIDC_ROLES = _roles(env.str("STAGEGATE_OIDC_ROLES_MAP", ""))
OIDC_CREATE = env.bool("STAGEGATE_OIDC_CREATE", True)
OIDC_MATCH_EMAIL = env.bool("STAGEGATE_OIDC_MATCH_EMAIL", False)
if OIDC_URL and not OIDC_CLIENT_ID:
    raise ImproperlyConfigured("STAGEGATE_OIDC_URL is set, so set STAGEGATE_OIDC_CLIENT_ID, too.")
SOCIALACCOUNT_ADAPTER = "portal.accounts.adapters.Providers"
SOCIALACCOUNT_REAUTHENTICATION_REQUIRED = True
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "oidc",
                "name": OIDC_NAME,
                "client_id": OIDC_CLIENT_ID,
                "secret": OIDC_CLIENT_SECRET,
                "settings": {"server_url": OIDC_URL},
            }
        ],
    }
}

# A session ends this long after the sign-in, used or not; see portal/accounts/sessions.py.
SESSION_COOKIE_AGE = env.int("STAGEGATE_SESSION_HOURS", 12, validate=validate.Range(min=1, max=720)) * 3600
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
# With this prefix, browsers take a cookie from this very host over HTTPS alone.
_HOST = "__Host-" if HTTPS else ""
SESSION_COOKIE_NAME = f"{_HOST}stagegate_session"
CSRF_COOKIE_NAME = f"{_HOST}stagegate_csrf"
CSRF_FAILURE_VIEW = "portal.web.answers.not_the_same_session"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = env.bool("STAGEGATE_SSL_REDIRECT", HTTPS)
# Whoever probes or scrapes does so without the proxy that speaks HTTPS.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_HSTS_SECONDS = env.int("STAGEGATE_HSTS_SECONDS", 365 * 86400 if HTTPS else 0, validate=validate.Range(min=0))
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = env.bool("STAGEGATE_HSTS_PRELOAD", False)
# Putting a whole domain on the browsers' own lists is for whoever owns the domain.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "report-uri": "/csp-report/",
        **({"report-to": "csp"} if HTTPS else {}),
    }
}

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "portal.statics.GzippedManifestStorage"},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "portal.api.authentication.BearerToken",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["portal.api.permissions.PermissionTable"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["portal.api.parsers.BoundedJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "portal.api.pagination.Newest",
    "DEFAULT_THROTTLE_CLASSES": ["portal.api.throttling.PerCaller"],
    "DEFAULT_SCHEMA_CLASS": "portal.api.schema_class.AutoSchema",
    "EXCEPTION_HANDLER": "portal.api.errors.problem",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Stagegate",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_PATCH": False,
    "SORT_OPERATIONS": False,
    "SORT_OPERATION_PARAMETERS": False,
    "POSTPROCESSING_HOOKS": ["portal.api.schema.complete"],
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "DISABLE_DOCSTRING_DESCRIPTIONS": True,
}
API_REQUESTS_A_MINUTE = env.int("STAGEGATE_API_REQUESTS_A_MINUTE", 1200, validate=validate.Range(min=1))
API_STRANGERS_A_MINUTE = env.int("STAGEGATE_API_STRANGERS_A_MINUTE", 60, validate=validate.Range(min=1))

REDIS_URL = env.str("REDIS_URL", "redis://127.0.0.1:6380/0")
CACHES = {
    "default": {
        "BACKEND": "portal.cache.SharedOrLocal",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "stagegate",
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 1.0},
    },
    # Not in the broker's memory, which must not run full. At most MAX_ENTRIES files of a megabyte at the very most.
    "pictures": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": HOME / "cache" / "pictures",
        "TIMEOUT": 7 * 86400,
        "OPTIONS": {"MAX_ENTRIES": 300},
    },
}
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
CHECKPOINT_SECONDS = env.float("STAGEGATE_CHECKPOINT_SECONDS", 60.0)
CHECKPOINT_KEY_FILE = _path(env.str("STAGEGATE_CHECKPOINT_KEY_FILE", str(HOME / "secrets" / "checkpoint_key.pem")))
CHECKPOINT_FOLDER = _path(env.str("STAGEGATE_CHECKPOINT_FOLDER", str(HOME / "checkpoints")))
CHECKPOINT_STORE = env.str("STAGEGATE_CHECKPOINT_STORE", "")
CHECKPOINT_STORE_OPTIONS = _options("STAGEGATE_CHECKPOINT_STORE_")
CHECKPOINT_WEBHOOK = _webhook(env.str("STAGEGATE_CHECKPOINT_WEBHOOK", ""))
CHECKPOINT_WEBHOOK_TOKEN = env.str("STAGEGATE_CHECKPOINT_WEBHOOK_TOKEN", "")

GATEWAY_URL = env.str("STAGEGATE_GATEWAY_URL", "http://127.0.0.1:8080").rstrip("/")
GATEWAY_API = env.str("STAGEGATE_GATEWAY_API", "http://127.0.0.1:8081").rstrip("/")
GATEWAY_CONFIG_DIR = Path(env.str("STAGEGATE_GATEWAY_CONFIG_DIR", str(HOME / "gateway" / "routes")))
PROMETHEUS_URL = env.str("STAGEGATE_PROMETHEUS_URL", "").rstrip("/")
SUPERVISOR_URL = env.str("STAGEGATE_SUPERVISOR_URL", "http://127.0.0.1:9001").rstrip("/")
SUPERVISOR_USER = env.str("STAGEGATE_SUPERVISOR_USER", "stagegate")
SUPERVISOR_PASSWORD = env.str("STAGEGATE_SUPERVISOR_PASSWORD", "")
SERVERS_DIR = Path(env.str("STAGEGATE_SERVERS_DIR", str(HOME / "servers")))
MODEL_STORE = Path(env.str("STAGEGATE_MODEL_STORE", str(HOME / "models")))
EXPORTS_DIR = Path(env.str("STAGEGATE_EXPORTS_DIR", str(HOME / "exports")))
MODEL_PORTS = _ports(env.str("STAGEGATE_MODEL_PORTS", "8200-8299"))
DRAIN_SECONDS = env.float("STAGEGATE_DRAIN_SECONDS", 10.0)

ADAPTERS = {
    "registry": "lifecycle.adapters.build.registry",
    "serving": "lifecycle.adapters.build.serving",
    "traffic": "lifecycle.adapters.build.traffic",
    "metrics": "lifecycle.adapters.build.metrics",
    "checkpoint_places": "lifecycle.adapters.record_places.from_settings",
    "messages": "lifecycle.adapters.apprise_messages.AppriseMessages",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
        "nowhere": {"class": "logging.NullHandler"},
    },
    "root": {"handlers": ["stderr"], "level": env.str("STAGEGATE_LOG_LEVEL", "INFO")},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        # What Apprise logs may hold the addresses it sends to, and those hold secrets: nobody but its adapter listens.
        # At DEBUG, urllib3 would write their paths down.
        "apprise": {"level": "DEBUG", "handlers": ["nowhere"], "propagate": False},
        "urllib3": {"level": "INFO"},
    },
}
