"""Which browser there is, and how it is started."""

from __future__ import annotations

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]


def find_browser() -> str | None:
    """STAGEGATE_BROWSER, else a Chromium on the PATH."""
    return os.environ.get("STAGEGATE_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
