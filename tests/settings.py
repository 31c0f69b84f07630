"""Settings for the tests: the real ones, with secrets and a home of their own."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("STAGEGATE_SECRET_KEY", "only-for-tests-" + "x" * 40)
os.environ.setdefault("STAGEGATE_WEBHOOK_SECRET", "only-for-tests")
os.environ.setdefault("STAGEGATE_HOME", str(Path(tempfile.gettempdir()) / f"stagegate-tests-{os.getpid()}"))

from portal.settings import *  # noqa: F403 - the environment must be complete before the settings read it

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
