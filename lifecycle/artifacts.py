"""Which files a version consists of: the digest that evidence belongs to, and how a change of them is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from lifecycle import adapters
from lifecycle.adapters.files import manifest_of
from lifecycle.audit import record, recording
from lifecycle.domain.digests import manifest_digest
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.evidence import ARTIFACT_CHANGED, bind_first_digest
from lifecycle.models import ModelVersion
from lifecycle.ports import ArtifactFile, PermanentError, TemporaryError

UNREAD = ""
"""The digest and listing of a version whose files have not been read, or are no longer those that were read."""


def digest_of(directory: Path) -> tuple[str, dict[str, str]]:
    """The digest of a directory's manifest, and the manifest: path to SHA-256. Raises PermanentError for links."""
    manifest = manifest_of(directory)
    return manifest_digest(manifest), manifest


def listing_digest(files: Iterable[ArtifactFile]) -> str:
    """The SHA-256 of names and sizes: one line a file, sorted by path, "<size>  <path>" and a newline."""
    lines = "".join(f"{file.size}  {file.path}\n" for file in sorted(files, key=lambda file: file.path))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def listing_of(version: ModelVersion) -> str:
    """The digest of the names and sizes that the registry's store has for the version now. Raises PortError."""
    return listing_digest(adapters.registry().files(version.source, version.run_id))


def note_files(version: ModelVersion, directory: Path, *, listing: str, now: datetime) -> str:
    """Write down what a fresh copy of the version's files consists of; returns its digest.

    ``listing`` was read before the copy was made: a change in between is found when the listing is next compared.
    Files that no manifest can describe, such as links, have no digest: nothing that was recorded before counts then.
    """
    try:
        digest, _ = digest_of(directory)
    except PermanentError:
        digest = listing = UNREAD
    note_digest(version, digest=digest, listing=listing, now=now)
    return digest


def note_digest(version: ModelVersion, *, digest: str, listing: str, now: datetime) -> None:
    """Write the digest of the version's files on the version, and into the record when it is new or another one.

    The first digest becomes that of the evidence from before. Raises TemporaryError when somebody else wrote
    another one meanwhile.
    """
    before = version.artifact_digest
    with recording():
        if not _write(version, digest=digest, listing=listing, read_at=now):
            raise TemporaryError("The version's files were read by somebody else at the same time.")
        if before == digest:
            return
        if before == UNREAD:
            bind_first_digest(version, digest)
            record("artifact_read", actor=STAGEGATE, now=now, version=version, details={"digest": digest})
        else:
            _leave(version, before, digest, "The bytes of its files are not those that were read before.", now)


def check_listing(version: ModelVersion, now: datetime) -> bool:
    """Whether the version's files are no longer those that were read, judged by their names and sizes.

    When they are not, the version counts as never read, so that all evidence for the former files is stale. Asks the
    registry; raises PortError when it cannot say. A version that was not read yet has nothing to compare.
    """
    if version.artifact_listing == UNREAD or listing_of(version) == version.artifact_listing:
        return False
    before = version.artifact_digest
    with recording():
        if _write(version, digest=UNREAD, listing=UNREAD, read_at=None):
            _leave(version, before, UNREAD, "The names or sizes of its files are not those that were read before.", now)
    return True


def _write(version: ModelVersion, *, digest: str, listing: str, read_at: datetime | None) -> bool:
    """Compare-and-set on the artifact that the caller saw; False when it is another one by now."""
    seen = {"run_id": version.run_id, "source": version.source, "artifact_digest": version.artifact_digest}
    values = {"artifact_digest": digest, "artifact_listing": listing, "artifact_read_at": read_at}
    if ModelVersion.objects.filter(pk=version.pk, **seen).update(**values) != 1:
        return False
    for name, value in values.items():
        setattr(version, name, value)
    return True


def _leave(version: ModelVersion, before: str, after: str, reason: str, now: datetime) -> None:
    """Evidence that was being written while the former digest was found is still without one: it is about those files,
    and must never be taken for evidence of the new ones."""
    if before != UNREAD:
        bind_first_digest(version, before)
    details = {"old_digest": before, "new_digest": after}
    record(ARTIFACT_CHANGED, actor=STAGEGATE, now=now, version=version, reason=reason, details=details)
