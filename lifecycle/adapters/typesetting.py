"""Documents as PDF, by Typst, in a process of its own that is ended when it takes too long."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from lifecycle.ports import PermanentError, TemporaryError

logger = logging.getLogger(__name__)

SECONDS = 20.0
LARGEST = 8 * 2**20
"""The most bytes of JSON that are typeset: a document beyond it was not bounded."""
AT_ONCE = 2
"""How many one process of the portal makes at the same time: each may take much memory."""
_HERE = Path(__file__).parent
_turns = threading.BoundedSemaphore(AT_ONCE)


def pdf(data: Mapping[str, Any], at: datetime) -> bytes:
    """What ``lifecycle.domain.document.dump`` gave as PDF, with ``at`` as the time of its making.

    The process finds no files, packages or settings of ours: its directory is empty, and so is its environment. Raises
    TemporaryError when it took too long or too many are made just now, PermanentError when the document cannot be set.
    """
    asked = {"template": (_HERE / "dossier.typ").read_text(), "data": data, "at": int(at.timestamp())}
    given = json.dumps(asked).encode()
    if len(given) > LARGEST:
        raise PermanentError("The document is too long for a PDF. Print the page instead.")
    if not _turns.acquire(timeout=SECONDS):
        raise TemporaryError("Other PDFs are being made just now. Try again in a moment, or print the page.")
    try:
        return _typeset(given)
    finally:
        _turns.release()


def _typeset(given: bytes) -> bytes:
    with tempfile.TemporaryDirectory(prefix="stagegate-pdf-") as empty:
        try:
            done = subprocess.run(  # noqa: S603 - our own file, by our own interpreter
                [sys.executable, "-I", str(_HERE / "typst_child.py")],
                input=given,
                capture_output=True,
                timeout=SECONDS,
                cwd=empty,
                env={"PATH": os.defpath, "HOME": empty},
                check=False,
            )
        except subprocess.TimeoutExpired:
            took = f"The PDF was not ready within {SECONDS:.0f} seconds."
            raise TemporaryError(f"{took} Print the page instead.") from None
    if done.returncode != 0 or not done.stdout.startswith(b"%PDF-"):
        logger.error("Typst failed with %s: %s", done.returncode, done.stderr.decode(errors="replace")[-2000:])
        raise PermanentError("The PDF could not be made. Print the page instead.")
    return done.stdout
