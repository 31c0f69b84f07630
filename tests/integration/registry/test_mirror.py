"""The mirror against a real MLflow: what changes there is found, and what we did ourselves surprises nobody."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from lifecycle import mirror
from lifecycle.adapters.mlflow_registry import MlflowRegistry
from lifecycle.models import (
    AuditEntry,
    Effect,
    Kind,
    MirrorState,
    ModelVersion,
    Policy,
    RegisteredModel,
    Status,
    Strategy,
    Transition,
)
from lifecycle.ports import NotFoundError, VersionRef
from tests.contract.registry import SIGNATURE, new_name
from tests.integration.registry.faults import Fault, faulty_server
from tests.integration.registry.server import MlflowServer, MlflowWorld, free_port, running_mlflow, seed

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def ref(world: MlflowWorld) -> VersionRef:
    name = new_name()
    world.create_model(name, tags={"team": "fraud"})
    return world.create_version(name, tags={"semantic_version": "1.0.0"})


@pytest.fixture
def mirrored(registry: MlflowRegistry, ref: VersionRef, now: datetime) -> VersionRef:
    mirror.full_pass(registry, now)
    return ref


def row_of(ref: VersionRef) -> ModelVersion:
    return ModelVersion.objects.select_related("model").get(model__name=ref.model, version=ref.version)


def later(now: datetime) -> datetime:
    return now + timedelta(minutes=1)


def surprises(ref: VersionRef) -> list[tuple[str, str, str, str]]:
    entries = AuditEntry.objects.filter(model=ref.model).order_by("id")
    return [(entry.action, entry.from_stage, entry.to_stage, entry.reason) for entry in entries]


def open_effect(ref: VersionRef, kind: str, payload: dict[str, object], outcome: str = "open") -> Effect:
    """An effect of a transition that is under way, as the engine journals it."""
    row, now = row_of(ref), timezone.now()
    policy = Policy.objects.create(number=1, body={}, reason="first", created_by="a test", created_at=now)
    transition = Transition.objects.create(
        model=row.model,
        version=row,
        kind=Kind.PROMOTION,
        from_stage="Development",
        to_stage="Staging",
        strategy=Strategy.CANARY,
        status=Status.RUNNING,
        reason="a test",
        policy=policy,
        requested_by_name="Ana",
        requested_at=now,
        due_at=now,
    )
    return Effect.objects.create(
        transition=transition,
        kind=kind,
        key=kind,
        payload=payload,
        summary=kind,
        outcome=outcome,
        intended_at=now,
        attempted_at=now,
    )


# ---------------------------------------------------------------- new and changed


def test_a_new_version_is_found_by_the_poll(registry: MlflowRegistry, ref: VersionRef, now: datetime) -> None:
    assert mirror.poll_newest(registry, now) >= 1
    row = row_of(ref)
    assert (row.stage, row.tags, row.model.tags) == ("None", {"semantic_version": "1.0.0"}, {"team": "fraud"})
    assert row.model.slug == ref.model
    assert mirror.poll_newest(registry, now) == 0


def test_an_idle_poll_reads_one_page(registry: MlflowRegistry, mirrored: VersionRef, now: datetime) -> None:
    with faulty_server(registry._base) as faulty:
        watched = MlflowRegistry(faulty.uri)
        assert mirror.poll_newest(watched, later(now)) == 0
        assert len(faulty.seen) == 1
        watched.close()


def test_a_poll_follows_the_news_over_many_pages(
    registry: MlflowRegistry, world: MlflowWorld, mirrored: VersionRef, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "NEWEST_PAGE", 2)
    refs = [world.create_version(mirrored.model) for _ in range(5)]
    assert mirror.poll_newest(registry, now) == 5
    assert all(row_of(ref) for ref in refs)


def test_a_version_tag_is_found_by_the_sweep_alone(
    registry: MlflowRegistry, world: MlflowWorld, mirrored: VersionRef, now: datetime
) -> None:
    world.create_version(mirrored.model)
    mirror.full_pass(registry, now)
    world.set_tag(mirrored, "trainer_email", "ana@example.org")
    mirror.full_pass(registry, now)
    assert row_of(mirrored).tags["trainer_email"] == "ana@example.org"


def test_model_tags_and_aliases_are_found_by_the_sweep(
    registry: MlflowRegistry, world: MlflowWorld, mirrored: VersionRef, now: datetime
) -> None:
    world.set_model_tag(mirrored.model, "team", "risk")
    world.set_alias(mirrored, "champion")
    mirror.full_pass(registry, now)
    model = row_of(mirrored).model
    assert (model.tags, model.aliases) == ({"team": "risk"}, {"champion": 1})
    assert surprises(mirrored) == []


def test_a_pass_that_finds_nothing_new_writes_no_row(
    registry: MlflowRegistry, mirrored: VersionRef, now: datetime
) -> None:
    assert mirror.full_pass(registry, later(now)) == 0


# ---------------------------------------------------------------- gone and back


def test_a_deleted_version_is_marked_and_kept(
    registry: MlflowRegistry, world: MlflowWorld, mirrored: VersionRef, now: datetime
) -> None:
    other = world.create_version(mirrored.model)
    mirror.full_pass(registry, now)
    world.delete_version(mirrored)
    mirror.full_pass(registry, later(now))
    assert row_of(mirrored).removed_at == later(now)
    assert row_of(other).removed_at is None


def test_a_deleted_model_takes_its_versions_along(
    registry: MlflowRegistry, world: MlflowWorld, mirrored: VersionRef, now: datetime
) -> None:
    world.delete_model(mirrored.model)
    mirror.full_pass(registry, later(now))
    row = row_of(mirrored)
    assert (row.removed_at, row.model.removed_at) == (later(now), later(now))


def test_a_name_that_comes_back_is_there_again_without_the_old_details(
    registry: MlflowRegistry, world: MlflowWorld, now: datetime
) -> None:
    name = new_name()
    world.create_model(name)
    ref = world.create_version(name, metrics={"f1": 0.9})
    mirror.refresh_version(registry, ref, now)
    assert row_of(ref).metrics == {"f1": 0.9}
    world.delete_model(name)
    with pytest.raises(NotFoundError):
        mirror.refresh_version(registry, ref, now)
    assert row_of(ref).removed_at == now
    world.create_model(name)
    world.create_version(name)
    mirror.full_pass(registry, later(now))
    row = row_of(ref)
    assert (row.removed_at, row.model.removed_at, row.metrics, row.details_at) == (None, None, {}, None)


def test_a_version_that_a_moving_page_hid_is_not_believed_gone(
    registry: MlflowRegistry, world: MlflowWorld, mirrored: VersionRef, now: datetime
) -> None:
    refs = [world.create_version(mirrored.model) for _ in range(5)]
    mirror.full_pass(registry, now)
    while MirrorState.objects.get().phase != mirror.VERSIONS:
        mirror.sweep_slice(registry, later(now), 1)
    while not ModelVersion.objects.filter(
        model__name=mirrored.model, seen_pass=MirrorState.objects.get().pass_number
    ).exists():
        mirror.sweep_slice(registry, later(now), 1)
    world.delete_version(mirrored)
    for _ in range(2):
        mirror.full_pass(registry, later(now))
        assert all(row_of(ref).removed_at is None for ref in refs)
        assert {row_of(ref).seen_pass for ref in refs} == {MirrorState.objects.get().pass_number - 1}
    assert row_of(mirrored).removed_at == later(now)


def test_a_pass_goes_on_where_it_was_killed(
    registry: MlflowRegistry, world: MlflowWorld, mirrored: VersionRef, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        world.create_version(mirrored.model)
    monkeypatch.setattr(mirror, "_move_on", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    for phase in (mirror.MODELS, mirror.VERSIONS):
        MirrorState.objects.update(phase=phase, page_token=None)
        with pytest.raises(KeyboardInterrupt):
            mirror.sweep_slice(registry, now, 2)
        assert MirrorState.objects.get().phase == phase
    monkeypatch.undo()
    mirror.full_pass(registry, now, 2)
    assert ModelVersion.objects.filter(model__name=mirrored.model, removed_at=None).count() == 5


def test_an_overtaken_worker_leaves_the_place_alone(
    registry: MlflowRegistry, mirrored: VersionRef, now: datetime
) -> None:
    slow = mirror._state()
    mirror.full_pass(registry, now)
    after = mirror._state()
    mirror._move_on(slow, None, now)
    assert mirror._state().pass_number == after.pass_number
    assert mirror._state().phase == after.phase


# ---------------------------------------------------------------- out of band


def test_a_stage_changed_directly_is_followed_and_recorded(
    registry: MlflowRegistry, world: MlflowWorld, mirrored: VersionRef, now: datetime
) -> None:
    world.set_stage(mirrored, "Production")
    mirror.poll_newest(registry, later(now))
    row = row_of(mirrored)
    assert (row.stage, row.stage_since) == ("Production", later(now))
    expected = [("out_of_band_stage_change", "Development", "Production", "changed directly in MLflow")]
    assert surprises(mirrored) == expected
    mirror.full_pass(registry, later(now))
    assert surprises(mirrored) == expected


@pytest.mark.parametrize("outcome", ["open", "dropped"])
def test_a_stage_that_the_engine_is_setting_is_no_surprise(
    outcome: str, registry: MlflowRegistry, world: MlflowWorld, mirrored: VersionRef, now: datetime
) -> None:
    open_effect(mirrored, "stage", {"version": 1, "stage": "Staging"}, outcome)
    world.set_stage(mirrored, "Staging")
    mirror.poll_newest(registry, now)
    assert (row_of(mirrored).stage, surprises(mirrored)) == ("Staging", [])
    world.set_stage(mirrored, "Archived")
    mirror.poll_newest(registry, now)
    assert [entry[:3] for entry in surprises(mirrored)] == [("out_of_band_stage_change", "Staging", "Archived")]


def test_a_page_older_than_the_row_surprises_nobody(
    registry: MlflowRegistry, world: MlflowWorld, mirrored: VersionRef, now: datetime
) -> None:
    old_page = registry.versions(limit=1000).items
    old_model = registry.model(mirrored.model)
    world.set_stage(mirrored, "Production")
    world.set_alias(mirrored, "production")
    ModelVersion.objects.filter(model__name=mirrored.model).update(stage="Production")
    RegisteredModel.objects.filter(name=mirrored.model).update(aliases={"production": 1})
    mirror._apply_versions(registry, old_page, 1, now, touch=True)
    mirror._apply_models(registry, [old_model], 1, now)
    row = row_of(mirrored)
    assert (row.stage, row.model.aliases, surprises(mirrored)) == ("Production", {"production": 1}, [])


def test_an_alias_of_a_stage_moved_directly_is_followed_and_recorded(
    registry: MlflowRegistry, world: MlflowWorld, mirrored: VersionRef, now: datetime
) -> None:
    second = world.create_version(mirrored.model)
    world.set_alias(mirrored, "production")
    mirror.refresh_model(registry, mirrored.model, now)
    world.set_alias(second, "production")
    mirror.full_pass(registry, now)
    mirror.full_pass(registry, now)
    assert row_of(mirrored).model.aliases == {"production": 2}
    entries = AuditEntry.objects.filter(model=mirrored.model, action="out_of_band_alias_change").order_by("id")
    assert [(entry.details["from_version"], entry.details["to_version"]) for entry in entries] == [(None, 1), (1, 2)]
    assert {(entry.actor, entry.reason) for entry in entries} == {("MLflow", "changed directly in MLflow")}


def test_an_alias_that_the_engine_is_moving_is_no_surprise(
    registry: MlflowRegistry, world: MlflowWorld, mirrored: VersionRef, now: datetime
) -> None:
    open_effect(mirrored, "alias", {"alias": "staging", "version": 1})
    world.set_alias(mirrored, "staging")
    mirror.full_pass(registry, now)
    assert (row_of(mirrored).model.aliases, surprises(mirrored)) == ({"staging": 1}, [])


# ---------------------------------------------------------------- details


def test_details_are_filled_newest_first(registry: MlflowRegistry, world: MlflowWorld, now: datetime) -> None:
    name = new_name()
    world.create_model(name)
    old = world.create_version(name, metrics={"f1": 0.8}, params={"trees": "10"}, signature=SIGNATURE)
    new = world.create_version(name, metrics={"f1": 0.9, "broken": math.nan})
    mirror.poll_newest(registry, now)
    assert mirror.fill_details(registry, 1, now) == 1
    assert (row_of(new).metrics, row_of(old).details_at) == ({"f1": 0.9, "broken": "NaN"}, None)
    assert mirror.fill_details(registry, 1, now) == 1
    row = row_of(old)
    assert (row.params, row.signature, row.flavors) == ({"trees": "10"}, SIGNATURE, ["python_function"])


def test_details_that_fail_are_tried_again_later_and_block_nobody(
    registry: MlflowRegistry, world: MlflowWorld, now: datetime
) -> None:
    name = new_name()
    world.create_model(name)
    fine, bad = world.create_version(name, metrics={"f1": 0.8}), world.create_version(name, metrics={"f1": 0.9})
    mirror.poll_newest(registry, now)
    with faulty_server(registry._base) as faulty:
        flaky = MlflowRegistry(faulty.uri)
        faulty.fault = lambda method, path: (503, b"") if path.endswith("runs/get") else Fault.NONE
        assert mirror.fill_details(flaky, 10, now) == 0
        faulty.fault = lambda method, path: Fault.NONE
        assert "503" in row_of(bad).details_error
        mirror.fill_details(flaky, 1, now)
        assert (row_of(fine).metrics, row_of(bad).details_at) == ({"f1": 0.8}, None)
        mirror.fill_details(flaky, 1, now + mirror.DETAILS_RETRY + timedelta(seconds=1))
        assert (row_of(bad).metrics, row_of(bad).details_error) == ({"f1": 0.9}, "")
        flaky.close()


def test_a_refresh_reads_what_a_gate_needs(registry: MlflowRegistry, world: MlflowWorld, now: datetime) -> None:
    name = new_name()
    world.create_model(name)
    ref = world.create_version(name, metrics={"f1": 0.9}, signature=SIGNATURE)
    world.set_alias(ref, "production")
    mirror.refresh_version(registry, ref, now)
    row = row_of(ref)
    assert (row.model.aliases, row.metrics, row.signature) == ({"production": 1}, {"f1": 0.9}, SIGNATURE)
    world.set_tag(ref, "schema_version", "2")
    mirror.refresh_version(registry, ref, now)
    assert row_of(ref).tags == {"schema_version": "2"}


# ---------------------------------------------------------------- hostile text


def test_hostile_names_are_copied_and_get_slugs(registry: MlflowRegistry, world: MlflowWorld, now: datetime) -> None:
    names = [new_name(stem) for stem in ("<img src=x>", "=cmd|'calc'!A0", "a\u202eb", "Ä\U0001f600", " spaces ")]
    for name in names:
        world.create_model(name)
        world.create_version(name, tags={"k": "<b>\u202e"})
    mirror.full_pass(registry, now)
    rows = RegisteredModel.objects.filter(name__in=names)
    assert {row.name for row in rows} == set(names)
    assert all(row.exact_name and row.versions.get().tags == {"k": "<b>\u202e"} for row in rows)


def test_names_that_no_database_holds_are_seen_but_not_exact(
    registry: MlflowRegistry, world: MlflowWorld, now: datetime
) -> None:
    stem = new_name()
    for name in (f"{stem}\x00a", f"{stem}\ufffda"):
        world.create_model(name)
        world.create_version(name, tags={"k": "v\x00"})
    world.set_stage(VersionRef(f"{stem}\x00a", 1), "Staging")
    for _ in range(2):
        mirror.full_pass(registry, now)
    rows = RegisteredModel.objects.filter(name=f"{stem}\ufffda").order_by("exact_name")
    assert [row.exact_name for row in rows] == [False, True]
    assert [row.versions.get().stage for row in rows] == ["Staging", "None"]
    assert {row.versions.get().tags["k"] for row in rows} == {"v\ufffd"}
    world.delete_model(f"{stem}\x00a")
    mirror.full_pass(registry, later(now))
    assert [row.removed_at for row in rows.all()] == [later(now), None]


def test_slugs_that_somebody_took_before_are_lengthened(
    registry: MlflowRegistry, world: MlflowWorld, now: datetime
) -> None:
    name = new_name("Forest")
    for length in (8, 10):
        slug = mirror.slug_of(name, () if length == 8 else {mirror.slug_of(name)})
        world.create_model(slug)
        mirror.full_pass(registry, now)
    world.create_model(name)
    mirror.full_pass(registry, now)
    slug = RegisteredModel.objects.get(name=name).slug
    assert len(slug.rsplit("-", 1)[1]) == 12


# ---------------------------------------------------------------- the whole


def test_run_once_notes_success_and_failure(registry: MlflowRegistry, mirrored: VersionRef, now: datetime) -> None:
    mirror.run_once(registry, now)
    assert MirrorState.objects.get().last_success_at == now
    mirror.run_once(MlflowRegistry(f"http://127.0.0.1:{free_port()}", retries=0), later(now))
    state = MirrorState.objects.get()
    assert (state.last_success_at, state.last_error_at) == (now, later(now))
    assert "can't be reached" in state.last_error
    mirror.run_once(registry, later(now))
    assert MirrorState.objects.get().last_error == ""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with running_mlflow(tmp_path_factory.mktemp("large")) as server:
        seed(server, 10_000)
        yield server


def test_a_tag_among_ten_thousand_versions_is_found_within_two_minutes(large: MlflowServer, now: datetime) -> None:
    registry, world = MlflowRegistry(large.uri, timeout_seconds=20), MlflowWorld(large)
    mirror.full_pass(registry, now)
    assert ModelVersion.objects.count() == 10_000
    mirror.sweep_slice(registry, now)
    mirror.sweep_slice(registry, now)
    ref = VersionRef("seeded-000000", 3)
    world.set_tag(ref, "explainability", "shap")
    slices = 0
    while "explainability" not in row_of(ref).tags:
        assert mirror.sweep_slice(registry, now) <= 1
        slices += 1
        assert slices * 5 <= 120
    world.session.close()
    registry.close()
