"""Documents as PDF."""

from __future__ import annotations

from datetime import datetime

from lifecycle.adapters import typesetting
from lifecycle.domain.document import Document, dump
from lifecycle.ports import PortError


class NotPrintedError(Exception):
    """There is no PDF; ``str(error)`` says why, and what to do instead."""


def pdf(document: Document, now: datetime) -> bytes:
    """Raises NotPrintedError."""
    try:
        return typesetting.pdf(dump(document), now)
    except PortError as error:
        raise NotPrintedError(str(error)) from error
