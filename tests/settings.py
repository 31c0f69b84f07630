"""Settings for the tests: the real ones, with secrets and a home of their own."""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("STAGEGATE_SECRET_KEY", "only-for-tests-" + "x" * 40)
os.environ.setdefault("STAGEGATE_WEBHOOK_SECRET", "only-for-tests")
if "STAGEGATE_HOME" not in os.environ:
    os.environ["STAGEGATE_HOME"] = tempfile.mkdtemp(prefix="stagegate-tests-")
    atexit.register(shutil.rmtree, os.environ["STAGEGATE_HOME"], ignore_errors=True)

from portal.settings import *  # noqa: F403 - the environment must be complete before the settings read it
from portal.settings import DATABASES, HOME

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CACHES = {
    name: {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": name}
    for name in ("default", "pictures")
}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, as in an installation: an in-memory database has none of the locking that the tests are about.
    DATABASES["default"]["TEST"] = {"NAME": str(HOME / "tests.sqlite3")}
(HOME / "static").mkdir(parents=True, exist_ok=True)
