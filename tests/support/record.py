"""A key to sign checkpoints with, and the auditor's program on what the portal gives out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import verify_audit
from lifecycle import adapters
from lifecycle.audit import body
from lifecycle.domain import chain, checkpoints
from lifecycle.models import AuditEntry, Checkpoint


def made_key(settings: Any, folder: Path) -> str:
    """Have checkpoints signed by a new key and kept below ``folder``; gives the key's name."""
    pem = checkpoints.new_key()
    settings.CHECKPOINT_KEY_FILE = folder / "checkpoint_key.pem"
    settings.CHECKPOINT_FOLDER = folder / "checkpoints"
    settings.CHECKPOINT_KEY_FILE.write_bytes(pem)
    settings.CHECKPOINT_KEY_FILE.chmod(0o600)
    adapters.forget()
    return checkpoints.key_id(checkpoints.load_key(pem))


def exported() -> list[bytes]:
    """The whole record as lines of an export."""
    entries = AuditEntry.objects.order_by("seq")
    return [chain.canonical({**body(entry), "hash": entry.hash}) + b"\n" for entry in entries]


def verified() -> verify_audit.Entries:
    """What the auditor's program finds in the record and the database's checkpoints. Raises verify_audit.Wrong."""
    rows = Checkpoint.objects.values_list("statement", flat=True)
    given = [(str(each["seq"]), checkpoints.content(each)) for each in rows]
    return verify_audit.check_entries(exported(), verify_audit.check_checkpoints(given, None))
