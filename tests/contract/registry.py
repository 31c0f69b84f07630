"""What every ``Registry`` must do, whatever stands behind it.

A test module parametrizes over ``CHECKS`` and hands each check a registry and a world: the hands of those who
register models, which no port offers.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from lifecycle.ports import (
    ArtifactEntry,
    Keeper,
    NotFoundError,
    PermanentError,
    PortError,
    Registry,
    RegistryModel,
    RegistryVersion,
    VersionRef,
)

SIGNATURE: Mapping[str, Any] = {
    "inputs": [{"type": "double", "name": "petal length (cm)", "required": True}],
    "outputs": [{"type": "long", "required": True}],
    "params": None,
}


class World(Protocol):
    """Changes the registry from outside. Names are free for the asking: nothing is shared between checks."""

    def create_model(self, name: str, *, tags: Mapping[str, str] | None = None, description: str = "") -> None: ...

    def create_version(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        signature: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> VersionRef:
        """Register a version. It has a run when metrics or params are given, and model files when a signature
        or files are: those, and an ``MLmodel`` that names the flavor ``python_function``."""

    def delete_version(self, ref: VersionRef) -> None: ...

    def delete_model(self, name: str) -> None: ...


def new_name(stem: str = "model") -> str:
    return f"{stem}-{uuid.uuid4().hex[:10]}"


def all_models(registry: Registry, limit: int = 100) -> dict[str, RegistryModel]:
    page = registry.models(limit=limit)
    found = list(page.items)
    while page.next_token is not None:
        page = registry.models(limit=limit, page_token=page.next_token)
        found += page.items
    return {model.name: model for model in found}


def all_versions(registry: Registry, *, limit: int = 100, newest_first: bool = False) -> list[RegistryVersion]:
    page = registry.versions(limit=limit, newest_first=newest_first)
    found = list(page.items)
    while page.next_token is not None:
        page = registry.versions(limit=limit, newest_first=newest_first, page_token=page.next_token)
        found += page.items
    return found


def models_carry_tags_and_aliases(registry: Registry, world: World) -> None:
    name = new_name()
    world.create_model(name, tags={"team": "fraud"}, description="what it does")
    ref = world.create_version(name)
    registry.set_alias(name, "production", ref.version)
    listed = all_models(registry)[name]
    assert (listed.tags, listed.aliases, listed.description) == ({"team": "fraud"}, {"production": 1}, "what it does")
    assert registry.model(name) == listed


def models_come_by_name_in_pages(registry: Registry, world: World) -> None:
    names = sorted(new_name(stem) for stem in ("b", "a", "c"))
    for name in reversed(names):
        world.create_model(name)
    listed = list(all_models(registry, limit=2))
    assert [name for name in listed if name in names] == names
    assert len(registry.models(limit=2).items) == 2


def versions_carry_stage_and_tags(registry: Registry, world: World) -> None:
    name = new_name()
    world.create_model(name)
    ref = world.create_version(name, tags={"semantic_version": "1.0.0"})
    version = registry.version(ref)
    assert (version.ref, version.stage, version.status) == (ref, "None", "READY")
    assert version.tags == {"semantic_version": "1.0.0"}
    assert version.created_at is not None
    assert version in all_versions(registry)


def versions_come_by_name_and_number_in_pages(registry: Registry, world: World) -> None:
    name = new_name()
    world.create_model(name)
    refs = [world.create_version(name) for _ in range(5)]
    assert [v.ref for v in all_versions(registry, limit=2) if v.ref.model == name] == refs


def a_stage_change_moves_a_version_to_the_front(registry: Registry, world: World) -> None:
    name = new_name()
    world.create_model(name)
    first, second = world.create_version(name), world.create_version(name)
    newest = [v.ref for v in all_versions(registry, limit=2, newest_first=True) if v.ref.model == name]
    assert newest == [second, first]
    registry.set_stage(first, "Staging")
    assert registry.versions(limit=1, newest_first=True).items[0].ref == first


def the_last_page_has_no_token(registry: Registry, world: World) -> None:
    name = new_name()
    world.create_model(name)
    world.create_version(name)
    assert registry.models(limit=1000).next_token is None
    assert registry.versions(limit=10_000).next_token is None


def missing_things_are_not_found(registry: Registry, world: World) -> None:
    name = new_name()
    missing = VersionRef(name, 1)
    calls: list[Callable[[], object]] = [
        lambda: registry.model(name),
        lambda: registry.version(missing),
        lambda: registry.set_stage(missing, "Staging"),
        lambda: registry.set_alias(name, "production", 1),
        lambda: registry.delete_alias(name, "production"),
        lambda: registry.set_tags(missing, {"lifecycle.a": "b"}),
    ]
    for call in calls:
        with pytest.raises(NotFoundError):
            call()


def a_deleted_version_is_gone(registry: Registry, world: World) -> None:
    name = new_name()
    world.create_model(name)
    ref, other = world.create_version(name), world.create_version(name)
    registry.set_alias(name, "staging", ref.version)
    world.delete_version(ref)
    with pytest.raises(NotFoundError):
        registry.version(ref)
    assert [v.ref for v in all_versions(registry) if v.ref.model == name] == [other]
    assert registry.model(name).aliases == {}
    world.delete_model(name)
    with pytest.raises(NotFoundError):
        registry.model(name)


def stages_are_set_and_set_again(registry: Registry, world: World) -> None:
    name = new_name()
    world.create_model(name)
    ref = world.create_version(name)
    for stage in ("Staging", "Production", "Archived", "None"):
        registry.set_stage(ref, stage)
        before = registry.version(ref)
        assert before.stage == stage
        registry.set_stage(ref, stage)
        assert registry.version(ref) == before


def a_stage_leaves_other_versions_alone(registry: Registry, world: World) -> None:
    name = new_name()
    world.create_model(name)
    first, second = world.create_version(name), world.create_version(name)
    registry.set_stage(first, "Production")
    registry.set_stage(second, "Production")
    assert registry.version(first).stage == "Production"


def aliases_move_and_go(registry: Registry, world: World) -> None:
    name = new_name()
    world.create_model(name)
    world.create_version(name)
    world.create_version(name)
    registry.set_alias(name, "production", 1)
    registry.set_alias(name, "production", 2)
    registry.set_alias(name, "staging", 1)
    assert registry.model(name).aliases == {"production": 2, "staging": 1}
    registry.delete_alias(name, "production")
    registry.delete_alias(name, "production")
    assert registry.model(name).aliases == {"staging": 1}


def tags_are_added_and_overwritten(registry: Registry, world: World) -> None:
    name = new_name()
    world.create_model(name)
    ref = world.create_version(name, tags={"a": "1", "b": "2"})
    registry.set_tags(ref, {"b": "3", "lifecycle.approved_by": "Ana Ķ <b>"})
    assert registry.version(ref).tags == {"a": "1", "b": "3", "lifecycle.approved_by": "Ana Ķ <b>"}


def details_say_what_the_run_and_the_model_say(registry: Registry, world: World) -> None:
    name = new_name()
    world.create_model(name)
    ref = world.create_version(
        name, metrics={"f1": 0.9, "broken": math.nan}, params={"trees": "10"}, signature=SIGNATURE
    )
    details = registry.details(registry.version(ref))
    assert details.metrics["f1"] == 0.9
    assert math.isnan(details.metrics["broken"])
    assert details.params == {"trees": "10"}
    assert details.signature == SIGNATURE
    assert details.flavors == ("python_function",)
    assert details.run_name
    assert details.experiment_id


def details_of_a_bare_version_are_empty(registry: Registry, world: World) -> None:
    name = new_name()
    world.create_model(name)
    details = registry.details(registry.version(world.create_version(name)))
    assert (details.metrics, details.params, details.signature, details.flavors) == ({}, {}, None, ())


def hostile_names_are_only_text(registry: Registry, world: World) -> None:
    for stem in ("<img src=x onerror=alert(1)>", "=cmd|'calc'!A0", "a\u202eb", "a%2e#?&", " spaces ", "Ä\U0001f600"):
        name = new_name(stem)
        world.create_model(name)
        ref = world.create_version(name, tags={"k": stem})
        registry.set_stage(ref, "Staging")
        registry.set_alias(name, "staging", 1)
        assert registry.version(ref).tags == {"k": stem}
        assert registry.model(name).aliases == {"staging": 1}
        assert ref in {version.ref for version in all_versions(registry)}


def downloads_put_the_files_at_the_top(registry: Registry, world: World, destination: Path) -> None:
    name = new_name()
    world.create_model(name)
    ref = world.create_version(name, files={"model.skops": b"\x00\x01weights", "data/schema.json": b"{}"})
    registry.download(ref, destination)
    assert (destination / "model.skops").read_bytes() == b"\x00\x01weights"
    assert (destination / "data" / "schema.json").read_bytes() == b"{}"
    assert (destination / "MLmodel").is_file()
    assert sorted(path.name for path in destination.iterdir()) == ["MLmodel", "data", "model.skops"]


def registered_files(registry: Registry, world: World, **files: bytes) -> tuple[VersionRef, str, str]:
    """A version with these files besides its MLmodel; where they are, and of which run."""
    name = new_name()
    world.create_model(name)
    version = registry.version(world.create_version(name, metrics={"f1": 1.0}, files=files))
    return version.ref, version.source, version.run_id


def files_are_listed_with_their_sizes(registry: Registry, world: World) -> None:
    _, source, run_id = registered_files(registry, world, **{"model.skops": b"12345", "data/a/b.json": b"{}"})
    listed = registry.files(source, run_id)
    assert [file.path for file in listed] == ["MLmodel", "data/a/b.json", "model.skops"]
    assert [file.size for file in listed[1:]] == [2, 5]
    assert listed[0].size > 0


def files_stay_when_their_version_is_deleted(registry: Registry, world: World) -> None:
    ref, source, run_id = registered_files(registry, world)
    before = registry.files(source, run_id)
    registry.set_alias(ref.model, "staging", ref.version)
    registry.delete_version(ref)
    registry.delete_version(ref)
    with pytest.raises(NotFoundError):
        registry.version(ref)
    assert registry.model(ref.model).aliases == {}
    assert registry.files(source, run_id) == before != ()


def deleted_files_are_gone_and_no_others(registry: Registry, world: World) -> None:
    _, source, run_id = registered_files(registry, world, **{"data/a": b"1"})
    _, other, other_run = registered_files(registry, world)
    before = registry.files(other, other_run)
    registry.delete_files(source, run_id)
    registry.delete_files(source, run_id)
    assert registry.files(source, run_id) == ()
    assert registry.files(other, other_run) == before


def nothing_but_one_models_files_is_ever_deleted(registry: Registry, world: World) -> None:
    _, source, run_id = registered_files(registry, world)
    _, other, other_run = registered_files(registry, world)
    artifacts = source.rpartition("/")[0]
    run = artifacts.rpartition("/")[0]
    refused = [
        *(artifacts, run, run.rpartition("/")[0], "mlflow-artifacts:/", "mlflow-artifacts:", "mlflow-artifacts:///"),
        *(
            f"{source}/",
            f"{artifacts}//model",
            f"{artifacts}/",
            f"{source}/..",
            f"{source}/../../{other_run}/artifacts/x",
        ),
        *(f"{source}#/../..", f"{source}?a=b", f"{artifacts}/%2e%2e/model", f"{artifacts}/model%2F..", f"{source}\\.."),
        *("", "/etc", "file:///etc", "https://example.org/model", f"{source}\n", other, run.replace(run_id, "models")),
    ]
    for each in refused:
        with pytest.raises(PermanentError):
            registry.delete_files(each, run_id)
    with pytest.raises(PermanentError):
        registry.delete_files(source, "")
    assert registry.files(source, run_id)
    assert registry.files(other, other_run)


def a_runs_folders_are_read_one_by_one(registry: Registry, world: World) -> None:
    ref, _, _ = registered_files(registry, world, **{"explainability/shap.png": b"picture"})
    version = registry.version(ref)
    assert registry.folder(version, Keeper.RUN, seconds=20) == (ArtifactEntry("model", is_folder=True),)
    inside = registry.folder(version, Keeper.RUN, "model", seconds=20)
    assert {each.path: each.is_folder for each in inside} == {"model/MLmodel": False, "model/explainability": True}
    picture = ArtifactEntry("model/explainability/shap.png", 7)
    assert registry.folder(version, Keeper.RUN, "model/explainability", seconds=20) == (picture,)
    assert registry.folder(version, Keeper.RUN, "nothing", seconds=20) == ()
    assert registry.folder(version, Keeper.MODEL, seconds=20) == ()
    assert registry.content(version, Keeper.RUN, picture.path, most=7, seconds=20) == b"picture"


def a_file_that_is_too_long_or_absent_is_not_read(registry: Registry, world: World) -> None:
    ref, _, _ = registered_files(registry, world, **{"shap.png": b"picture"})
    version = registry.version(ref)
    with pytest.raises(PermanentError):
        registry.content(version, Keeper.RUN, "model/shap.png", most=6, seconds=20)
    with pytest.raises(PortError):
        registry.content(version, Keeper.RUN, "model/nothing.png", most=6, seconds=20)


def a_run_says_where_it_comes_from(registry: Registry, world: World) -> None:
    _, _, run_id = registered_files(registry, world)
    origin = registry.run_origin(run_id, seconds=20)
    assert (origin.parent_id, origin.datasets) == ("", ())
    with pytest.raises(NotFoundError):
        registry.run_origin("0" * 32, seconds=20)


CHECKS: tuple[Callable[[Registry, World], None], ...] = (
    models_carry_tags_and_aliases,
    models_come_by_name_in_pages,
    versions_carry_stage_and_tags,
    versions_come_by_name_and_number_in_pages,
    a_stage_change_moves_a_version_to_the_front,
    the_last_page_has_no_token,
    missing_things_are_not_found,
    a_deleted_version_is_gone,
    stages_are_set_and_set_again,
    a_stage_leaves_other_versions_alone,
    aliases_move_and_go,
    tags_are_added_and_overwritten,
    details_say_what_the_run_and_the_model_say,
    details_of_a_bare_version_are_empty,
    hostile_names_are_only_text,
    files_are_listed_with_their_sizes,
    files_stay_when_their_version_is_deleted,
    deleted_files_are_gone_and_no_others,
    nothing_but_one_models_files_is_ever_deleted,
    a_runs_folders_are_read_one_by_one,
    a_file_that_is_too_long_or_absent_is_not_read,
    a_run_says_where_it_comes_from,
)
