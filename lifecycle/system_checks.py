"""What ``manage.py check`` says about the record's protection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import connections

from lifecycle.domain import checkpoints
from lifecycle.domain.checkpoints import BadKeyError
from lifecycle.models import AuditEntry

TRIGGERS = {
    "sqlite": ("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", 3),
    "postgresql": ("SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled IN ('O', 'A')", 3),
}
"""The query for a table's triggers that are in force, and how many of them the record has."""


@register(Tags.security)
def check_key(**_: Any) -> Sequence[CheckMessage]:
    """The worker that signs checkpoints finds its key, and nobody else does."""
    path = settings.CHECKPOINT_KEY_FILE
    if path is None:
        return []
    try:
        checkpoints.load_key(path.read_bytes())
        mode = path.stat().st_mode
    except FileNotFoundError:
        return [_warning("001", f"There is no key to sign checkpoints of the record with: {path} does not exist.")]
    except (OSError, BadKeyError) as error:
        return [_warning("002", f"The key to sign checkpoints of the record with can't be used: {path}: {error}.")]
    if mode & 0o077:
        return [
            Warning(
                f"Others than its owner can read the key that signs checkpoints: {path}.",
                hint=f"chmod 600 {path}",
                id="lifecycle.W003",
            )
        ]
    return []


@register(Tags.database)
def check_triggers(databases: Sequence[str] | None = None, **_: Any) -> Sequence[CheckMessage]:
    """The database refuses changes of the record. A migration that makes the table anew would lose its triggers."""
    table = AuditEntry._meta.db_table
    for alias in databases or ():
        connection = connections[alias]
        query, expected = TRIGGERS[connection.vendor]
        if table not in connection.introspection.table_names():
            continue
        with connection.cursor() as cursor:
            cursor.execute(query, [table])
            if len(cursor.fetchall()) != expected:
                return [
                    Warning(
                        f"The record can be changed: {table} lacks triggers that refuse it.",
                        hint="Apply lifecycle's migration 0006 to a copy and compare; see docs/RECORD.md.",
                        id="lifecycle.W004",
                    )
                ]
    return []


def _warning(number: str, text: str) -> CheckMessage:
    return Warning(
        text,
        hint=(
            "Only workers on the default queue need it. There: manage.py make_checkpoint_key, or "
            "STAGEGATE_CHECKPOINT_KEY_FILE. Elsewhere: STAGEGATE_CHECKPOINT_KEY_FILE=none."
        ),
        id=f"lifecycle.W{number}",
    )
