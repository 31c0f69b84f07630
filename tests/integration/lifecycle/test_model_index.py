"""What the list of models is searched by is always what a rebuild from the mirror would give."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from lifecycle import mirror, model_index
from lifecycle.adapters.memory import MemoryRegistry
from lifecycle.domain.stages import Stage
from lifecycle.models import ModelIndex, ModelTag, ModelVersion, RegisteredModel
from lifecycle.ports import NotFoundError, VersionDetails, VersionRef

pytestmark = pytest.mark.django_db

BEGINNING = datetime(2026, 3, 1, 9, tzinfo=UTC)
NAMES = ("iris", "Iris", "fraud-rules", "a" * 300, "nul\0name", "Прогноз")
STAGES = ("None", "Staging", "Production", "Archived")


def rows() -> tuple[list[tuple], list[tuple]]:
    return list(ModelIndex.objects.order_by("pk").values_list()), tags()


def tags() -> list[tuple]:
    return list(ModelTag.objects.order_by("model", "key").values_list("model", "key", "value"))


def rebuilt() -> tuple[list[tuple], list[tuple]]:
    ModelIndex.objects.all().delete()
    ModelTag.objects.all().delete()
    model_index.fill_missing(1000)
    return rows()


class Walk:
    """People change the registry at random, and workers mirror it at random."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.registry = MemoryRegistry()
        self.now = BEGINNING

    def ref(self) -> VersionRef:
        page = self.registry.versions(limit=1000).items
        return self.dice.choice(page).ref if page else VersionRef("iris", 1)

    def step(self) -> str:
        self.now += timedelta(minutes=1)
        change = self.dice.choice((self.retag, self.version, self.version, self.stage, self.tag, self.lose, self.alias))
        look = self.dice.choice((self.poll, self.sweep, self.sweep, self.all, self.one, self.one_model, self.details))
        for each in (change, look):
            with suppress(NotFoundError):
                each()
        return f"{change.__name__}, {look.__name__}"

    def retag(self) -> None:
        keys = self.dice.sample(("team", "k" * 300, "k" * 299 + "j", "env", "framework"), 2)
        values = {key: self.dice.choice(("red", "BLUE", "v" * 400)) for key in keys}
        self.registry.add_model(self.dice.choice(NAMES), description=self.dice.choice(("", "Leaves.")), tags=values)

    def version(self) -> None:
        flavors = self.dice.choice(((), ("python_function",), ("python_function", "sklearn"), ("xgboost",)))
        self.registry.add_version(
            self.dice.choice(NAMES),
            stage=self.dice.choice(STAGES),
            tags=self.dice.choice(({}, {"framework": "pytorch"}, {"framework": "f" * 100})),
            details=VersionDetails(flavors=flavors),
        )

    def stage(self) -> None:
        self.registry.set_stage(self.ref(), self.dice.choice(STAGES))

    def tag(self) -> None:
        self.registry.set_tags(self.ref(), {"framework": self.dice.choice(("jax", ""))})

    def alias(self) -> None:
        ref = self.ref()
        self.registry.set_alias(ref.model, "champion", ref.version)

    def lose(self) -> None:
        ref = self.ref()
        if self.dice.random() < 0.3:
            self.registry.model(ref.model)
            self.registry.delete_model(ref.model)
        else:
            self.registry.set_stage(ref, "Archived")
            self.registry.delete_version(ref)

    def poll(self) -> None:
        mirror.poll_newest(self.registry, self.now)

    def sweep(self) -> None:
        mirror.sweep_slice(self.registry, self.now, 3)

    def all(self) -> None:
        mirror.full_pass(self.registry, self.now, 5)

    def one(self) -> None:
        ref = self.ref()
        if "\0" not in ref.model:
            mirror.refresh_version(self.registry, ref, self.now)

    def one_model(self) -> None:
        mirror.refresh_model(self.registry, self.dice.choice(NAMES[:3]), self.now)

    def details(self) -> None:
        mirror.fill_details(self.registry, 2, self.now)


@pytest.mark.parametrize("seed", range(4))
def test_every_change_leaves_it_as_a_rebuild_would_make_it(seed):
    walk = Walk(seed)
    for number in range(40):
        what = walk.step()
        assert rows() == rebuilt(), (number, what)
    mirror.full_pass(walk.registry, walk.now)
    mirror.full_pass(walk.registry, walk.now + timedelta(minutes=1))
    mirrored = RegisteredModel.objects.filter(removed_at=None)
    assert {row.model_id for row in ModelIndex.objects.all()} == {model.pk for model in mirrored}
    for row in ModelIndex.objects.select_related("model"):
        live = row.model.versions.filter(removed_at=None)
        assert row.version_count == live.count()
        assert row.in_staging == live.filter(stage="Staging").exists()
        assert row.in_development == live.filter(stage="None").exists()
        newest = live.first()
        assert row.newest_version_at == (newest.created_at if newest else None)


@pytest.fixture
def iris(world) -> Callable[[], ModelIndex]:
    return lambda: ModelIndex.objects.get(slug="iris")


def test_what_the_engine_moves_is_found_at_once(world, iris):
    assert (iris().version_count, iris().in_development, iris().in_staging) == (3, True, False)
    world.drive(world.approved(1, Stage.STAGING))
    assert iris().in_staging
    world.drive(world.approved(1, Stage.PRODUCTION))
    assert (iris().in_staging, iris().in_production) == (False, True)


def test_what_is_searched_is_bounded_and_in_lower_case(world):
    world.registry.add_model("Iris", description="Leaves " * 1000, tags={"owner": "Ana", "notes": "x" * 5000})
    world.registry.add_model("short", tags={str(number): f"V{number}" * 10 for number in range(500)})
    mirror.full_pass(world.registry, world.now)
    assert ModelIndex.objects.get(model__name="Iris").text == "iris\n" + ("leaves " * 1000)[:1000] + "\nana"
    assert len(ModelIndex.objects.get(model__name="short").text) == 2000


@pytest.mark.parametrize(
    ("tagged", "flavors", "framework"),
    [
        ({"framework": " pytorch "}, ("sklearn",), "pytorch"),
        ({"framework": "  "}, ("python_function", "sklearn", "spark"), "sklearn"),
        ({}, ("python_function",), ""),
        ({}, (), ""),
    ],
)
def test_the_framework_is_that_of_the_newest_version(world, iris, tagged, flavors, framework):
    world.registry.add_version("iris", tags=tagged, details=VersionDetails(flavors=flavors))
    mirror.run_once(world.registry, world.now)
    assert iris().framework == framework


def test_after_an_update_every_turn_of_the_mirror_completes_it(world, monkeypatch):
    """Nothing in the registry has changed since, so nothing else would write the rows."""
    for name in ("fraud", "churn", "prices"):
        world.registry.add_model(name)
    mirror.full_pass(world.registry, world.now)
    complete = rows()
    ModelIndex.objects.all().delete()
    ModelTag.objects.all().delete()
    monkeypatch.setattr(mirror, "INDEX_BATCH", 3)
    world.registry.down = True
    mirror.run_once(world.registry, world.now)
    assert ModelIndex.objects.count() == 3
    mirror.run_once(world.registry, world.now)
    assert rows() == complete
    assert model_index.fill_missing(3) == 0


def test_a_batch_costs_a_few_queries_whatever_its_size(world):
    for number in range(60):
        world.registry.add_version(f"model-{number}", tags={"framework": "sklearn"})
        world.registry.add_model(f"model-{number}", tags={"team": f"team {number}"})
    mirror.full_pass(world.registry, world.now)
    keys = list(RegisteredModel.objects.values_list("pk", flat=True))
    ModelTag.objects.all().delete()
    with CaptureQueriesContext(connection) as seen:
        model_index.refresh(keys)
    assert len(seen) <= 10
    ModelVersion.objects.all().delete()
    RegisteredModel.objects.all().delete()
    assert not ModelIndex.objects.exists()
