"""Files that changed: evidence for the former ones no longer counts."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lifecycle import artifacts, gating, mirror
from lifecycle.audit import recording
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.digests import manifest_digest
from lifecycle.domain.gates import Source, State
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.policy import Criteria, Policy
from lifecycle.domain.stages import Stage
from lifecycle.evidence import append, why_stale
from lifecycle.models import AuditEntry, Evidence, ModelVersion
from lifecycle.policies import current_policy
from lifecycle.ports import ArtifactFile, TemporaryError, VersionRef
from tests.support.world import NAME, World

pytestmark = pytest.mark.django_db(transaction=True)
REF = VersionRef(NAME, 1)
FILES = {"MLmodel": b"flavors: {}\n"}
MORE = {**FILES, "extra.txt": b"x"}


def read(world: World, directory: Path) -> ModelVersion:
    """Read the version's files as a check does: the listing, then a fresh copy, then its digest."""
    version = world.version(1)
    listing = artifacts.listing_of(version)
    copy = directory / f"copy{len(list(directory.iterdir()))}"
    copy.mkdir()
    world.registry.download(REF, copy)
    artifacts.note_files(version, copy, listing=listing, now=world.now)
    return world.version(1)


def recorded(world: World, **about: Any) -> Evidence:
    policy = current_policy(world.model, world.now).values
    common = {"passed": True, "origin": Source.CHECK, "actor": STAGEGATE, "now": world.now, "policy": policy}
    with recording():
        return append(**{"version": world.version(1), "criterion": Criterion.ARTIFACT_SCAN, **common, **about})


def stale(world: World, row: Evidence) -> str:
    row.refresh_from_db()
    return why_stale(row, world.version(1), current_policy(world.model, world.now).values, world.now)


def entries() -> list[tuple[str, dict[str, Any]]]:
    rows = AuditEntry.objects.filter(action__startswith="artifact_").order_by("pk")
    return [(row.action, row.details) for row in rows]


def test_the_first_digest_is_written_down_and_binds_what_came_before(world: World, tmp_path: Path) -> None:
    early = recorded(world, criterion=Criterion.UNIT_TESTS)
    version = read(world, tmp_path)
    digest = manifest_digest({path: sha256(content).hexdigest() for path, content in FILES.items()})
    assert version.artifact_digest == digest
    assert version.artifact_read_at == world.now
    assert stale(world, early) == ""
    assert entries() == [("artifact_read", {"digest": digest})]


def test_the_same_files_read_again_change_nothing(world: World, tmp_path: Path) -> None:
    read(world, tmp_path)
    row = recorded(world)
    world.pass_time(hours=1)
    assert read(world, tmp_path).artifact_read_at == world.now
    assert not artifacts.check_listing(world.version(1), world.now)
    assert stale(world, row) == ""
    assert len(entries()) == 1


def test_other_bytes_of_the_same_length_are_found_by_the_digest(world: World, tmp_path: Path) -> None:
    before = read(world, tmp_path).artifact_digest
    row = recorded(world)
    world.registry.replace_files(REF, {"MLmodel": b"flavors: []\n"})
    assert not artifacts.check_listing(world.version(1), world.now)
    after = read(world, tmp_path).artifact_digest
    assert stale(world, row) == "The version's files have changed since."
    assert entries()[-1] == ("artifact_changed", {"old_digest": before, "new_digest": after})


def test_another_listing_makes_all_evidence_stale_at_once(world: World, tmp_path: Path) -> None:
    before = read(world, tmp_path).artifact_digest
    row = recorded(world)
    world.registry.replace_files(REF, MORE)
    assert artifacts.check_listing(world.version(1), world.now)
    version = world.version(1)
    assert (version.artifact_digest, version.artifact_listing, version.artifact_read_at) == ("", "", None)
    assert stale(world, row) == "The version's files have changed since."
    assert entries()[-1] == ("artifact_changed", {"old_digest": before, "new_digest": ""})
    assert not artifacts.check_listing(version, world.now)

    # The next reading binds what was recorded since, and never what is older.
    since = recorded(world, criterion=Criterion.UNIT_TESTS)
    read(world, tmp_path)
    assert stale(world, since) == ""
    assert stale(world, row) == "The version's files have changed since."


def test_a_number_that_was_given_again_begins_anew(world: World, tmp_path: Path) -> None:
    """Neither the files nor the time in Staging of the version before are its own."""
    world.registry.set_stage(REF, "Staging")
    mirror.full_pass(world.registry, world.now)
    before = read(world, tmp_path)
    assert before.artifact_digest
    world.registry.delete_model(NAME)
    world.registry.add_version(NAME, stage="Staging")
    mirror.full_pass(world.registry, world.now)
    version = world.version(1)
    assert (version.artifact_digest, version.artifact_listing, version.artifact_read_at) == ("", "", None)
    assert (version.stage, version.stage_since) == ("Staging", version.created_at)
    assert version.created_at != before.created_at


def test_the_gate_asks_for_a_new_scan_of_changed_files(world: World, tmp_path: Path) -> None:
    policy = Policy(criteria=Criteria(to_staging=(Criterion.ARTIFACT_SCAN,)))
    read(world, tmp_path)
    row = recorded(world)
    assert gating.gate_of(world.version(1), Stage.STAGING, world.now, policy=policy).open
    world.registry.replace_files(REF, MORE)
    artifacts.check_listing(world.version(1), world.now)
    (finding,) = gating.gate_of(world.version(1), Stage.STAGING, world.now, policy=policy).findings
    assert finding.state == State.MISSING
    assert finding.stale is not None
    assert finding.stale.id == row.pk


def test_evidence_written_while_the_first_digest_was_found_stays_with_those_files(world: World, tmp_path: Path) -> None:
    unread = world.version(1)
    read(world, tmp_path)
    late = recorded(world, version=unread)
    world.registry.replace_files(REF, MORE)
    assert artifacts.check_listing(world.version(1), world.now)
    read(world, tmp_path)
    assert stale(world, late) == "The version's files have changed since."


def test_files_that_come_back_are_those_that_were_scanned(world: World, tmp_path: Path) -> None:
    read(world, tmp_path)
    row = recorded(world)
    world.registry.replace_files(REF, MORE)
    read(world, tmp_path)
    world.registry.replace_files(REF, FILES)
    read(world, tmp_path)
    assert stale(world, row) == ""


def test_a_changed_tag_makes_it_stale_too(world: World, tmp_path: Path) -> None:
    read(world, tmp_path)
    row = recorded(world)
    world.registry.set_tags(REF, {"semantic_version": "1.0.9"})
    mirror.refresh_version(world.registry, REF, world.now)
    assert stale(world, row) == "The tag semantic_version has changed since, from 1.0.0 to 1.0.9."


def test_files_with_a_link_have_no_digest(world: World, tmp_path: Path) -> None:
    read(world, tmp_path)
    row = recorded(world)
    copy = tmp_path / "linked"
    copy.mkdir()
    os.symlink("/etc/passwd", copy / "MLmodel")
    version = world.version(1)
    assert artifacts.note_files(version, copy, listing=artifacts.listing_of(version), now=world.now) == ""
    assert stale(world, row) == "The version's files have changed since."
    assert not artifacts.check_listing(world.version(1), world.now)


def test_who_comes_second_with_other_files_is_told_to_try_again(world: World) -> None:
    first, second = world.version(1), world.version(1)
    artifacts.note_digest(first, digest="a" * 64, listing="b" * 64, now=world.now)
    with pytest.raises(TemporaryError, match="at the same time"):
        artifacts.note_digest(second, digest="c" * 64, listing="d" * 64, now=world.now)
    assert world.version(1).artifact_digest == "a" * 64


def test_a_registry_that_cannot_say_is_not_taken_for_a_change(world: World, tmp_path: Path) -> None:
    digest = read(world, tmp_path).artifact_digest
    world.registry.down = True
    with pytest.raises(TemporaryError):
        artifacts.check_listing(world.version(1), world.now)
    assert world.version(1).artifact_digest == digest


def test_a_listing_is_of_names_and_sizes_in_any_order() -> None:
    files = (ArtifactFile("b", 2), ArtifactFile("a", 1))
    assert artifacts.listing_digest(files) == artifacts.listing_digest(files[::-1])
    assert artifacts.listing_digest(files) != artifacts.listing_digest((ArtifactFile("b", 3), ArtifactFile("a", 1)))
