"""What was changed behind Stagegate's back is seen, said, and put right when somebody asks for it."""

from datetime import timedelta

import pytest

from lifecycle import disagreements, dispatch, history, operations
from lifecycle.domain.stages import Stage
from lifecycle.models import (
    AuditEntry,
    Disagreement,
    Kind,
    MirrorState,
    Policy,
    RegisteredModel,
    Status,
    Transition,
    VariantRole,
)
from lifecycle.operations import RefusedError
from lifecycle.ports import Backend, TemporaryError, VersionRef
from tests.support.served import production, serves
from tests.support.world import NAME, POLICY


@pytest.fixture
def served(world):
    """1.1.0 serves Production with 90 %, 1.2.0 Staging with 10 %."""
    serves(world, {2: 90, 3: 10}, {2: VariantRole.PRODUCTION, 3: VariantRole.STAGING})
    return world


def look(world, times=1, every=10):
    for _ in range(times):
        disagreements.look(world.now)
        world.pass_time(seconds=every)
    return [str(row) for row in Disagreement.objects.all()]


def test_nothing_is_said_while_the_world_agrees(served):
    assert look(served, times=3) == []
    assert RegisteredModel.objects.get().suspicions == []


def edit_weights(world):
    world.traffic.set_by_hand(NAME, {2: 50, 3: 50})


def remove_route(world):
    world.traffic.set_by_hand(NAME, {2: 0, 3: 0})


def archive(world):
    world.registry.set_stage(VersionRef(NAME, 2), "Archived")


def move_alias(world):
    world.registry.set_alias(NAME, "production", 1)


def remove_alias(world):
    world.registry.delete_alias(NAME, "staging")


def delete(world):
    world.registry.delete_version(VersionRef(NAME, 3))
    world.registry.set_alias(NAME, "staging", 1)


CHANGES = [
    (
        edit_weights,
        {
            "The gateway sends 50 % of requests to 1.1.0 and 50 % of requests to 1.2.0; Stagegate left 90 % of "
            "requests to 1.1.0 and 10 % of requests to 1.2.0."
        },
    ),
    (
        remove_route,
        {
            "The gateway sends no requests to any version; Stagegate left 90 % of requests to 1.1.0 and 10 % of "
            "requests to 1.2.0."
        },
    ),
    (archive, {"MLflow has 1.1.0 in Archived; Stagegate serves it as Production."}),
    (move_alias, {"MLflow has the alias “production” on 1.0.0; Stagegate left it on 1.1.0."}),
    (remove_alias, {"No version has the alias “staging” in MLflow; Stagegate left it on 1.2.0."}),
    (
        delete,
        {
            "MLflow no longer has 1.2.0; Stagegate serves it as Staging.",
            "MLflow has the alias “staging” on 1.0.0; Stagegate left it on 1.2.0.",
        },
    ),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
@pytest.mark.parametrize("every", [2, 10])
def test_it_is_known_within_thirty_seconds_and_not_at_the_first_look(served, change, words, every):
    look(served, every=every)
    change(served)
    first = [look(served, every=every) for _ in range(int(30 / every))]
    assert first[0] == []
    assert set(first[-1]) == words


@pytest.mark.parametrize("change", [edit_weights, archive, move_alias])
def test_what_was_only_seen_once_never_was(served, change):
    change(served)
    look(served)
    served.traffic.set_by_hand(NAME, {2: 90, 3: 10})
    served.registry.set_stage(VersionRef(NAME, 2), "Production")
    served.registry.set_alias(NAME, "production", 2)
    assert look(served, times=3) == []
    assert not AuditEntry.objects.filter(action="disagreement_found").exists()


def test_a_row_goes_when_the_world_agrees_again_and_both_are_in_the_record(served):
    edit_weights(served)
    assert len(look(served, times=2)) == 1
    served.traffic.set_by_hand(NAME, {2: 90, 3: 10})
    assert look(served) == []
    entries = AuditEntry.objects.filter(action__startswith="disagreement").order_by("id")
    assert [entry.action for entry in entries] == ["disagreement_found", "disagreement_gone"]
    assert {entry.reason for entry in entries} == {"changed outside Stagegate"}
    assert entries[0].details["what"] == "weights"


def test_a_row_follows_what_is_changed_further(served):
    edit_weights(served)
    look(served, times=2)
    served.traffic.set_by_hand(NAME, {2: 0, 3: 100})
    assert look(served)[0].startswith("The gateway sends 100 % of requests to 1.2.0;")


def test_copies_that_no_rollout_asks_for_are_seen(world):
    serves(world, {2: 100, 3: 0}, {2: VariantRole.PRODUCTION})
    variants = world.model.variants.select_related("version")
    backends = tuple(Backend(each.version.version, each.url, each.weight) for each in variants)
    world.traffic.apply(NAME, backends, fence=0, mirrors={3: 100})
    assert look(world, times=2) == ["The gateway copies 100 % of requests to 1.2.0; no rollout asks for it."]


@pytest.mark.parametrize("side", ["traffic", "registry"])
def test_what_does_not_answer_is_no_news(served, side):
    edit_weights(served)
    archive(served)
    known = set(look(served, times=2))
    assert len(known) == 2
    served.traffic.set_by_hand(NAME, {2: 90, 3: 10})
    served.registry.set_stage(VersionRef(NAME, 2), "Production")
    getattr(served, side).down = True
    assert {row.partition(" ")[0] for row in look(served, times=4)} == {"The" if side == "traffic" else "MLflow"}


def test_nothing_is_invented_while_nothing_answers(served):
    edit_weights(served)
    archive(served)
    served.registry.down = served.traffic.down = True
    assert look(served, times=4) == []


def test_mlflow_is_not_asked_at_every_look(served):
    look(served, times=15, every=2)
    assert served.registry.calls["model"] <= 6


def test_a_registry_that_is_down_is_asked_once_a_look(served, monkeypatch):
    for name in ("other", "third"):
        model = RegisteredModel.objects.create(name=name, slug=name)
        model.variants.create(version=model.versions.create(version=1), role=VariantRole.PRODUCTION)
    asked = []

    def unreachable(name):
        asked.append(name)
        raise TemporaryError("down")

    monkeypatch.setattr(served.registry, "model", unreachable)
    look(served)
    assert len(asked) == 1


def test_an_mlflow_that_hangs_holds_up_no_look(served):
    MirrorState.objects.update(last_error_at=served.now + timedelta(seconds=1))
    served.registry.calls.clear()
    look(served, times=6)
    assert served.registry.calls["model"] == 0
    look(served, times=2)
    assert served.registry.calls["model"] > 0


def executing(world, **values):
    """A canary of 1.2.0 whose first step the gateway was seen to apply."""
    transition = world.approved(3, Stage.STAGING)
    values = {"status": Status.RUNNING, "step_since": world.now, "due_at": world.now.replace(year=2030), **values}
    Transition.objects.filter(pk=transition.pk).update(**values)
    return Transition.objects.get(pk=transition.pk)


@pytest.fixture
def sent(monkeypatch):
    messages = []
    monkeypatch.setattr(dispatch, "send", lambda task, *args, queue: messages.append((task, *args, queue)))
    return messages


def test_a_transition_under_way_is_woken_instead(world, sent, django_capture_on_commit_callbacks):
    production(world)
    transition = executing(world)
    look(world, times=2)
    assert sent == []
    world.traffic.set_by_hand(NAME, {1: 50, 2: 50})
    with django_capture_on_commit_callbacks(execute=True):
        assert look(world) == []
    transition.refresh_from_db()
    assert transition.due_at < world.now
    assert sent == [("lifecycle.tick", transition.pk, "rollbacks")]


def test_a_step_that_is_not_reached_yet_is_left_alone(world, sent, django_capture_on_commit_callbacks):
    production(world)
    executing(world, step_since=None)
    world.traffic.set_by_hand(NAME, {1: 50, 2: 50})
    with django_capture_on_commit_callbacks(execute=True):
        assert look(world, times=2) == []
    assert sent == []


def test_what_an_executor_did_meanwhile_is_not_taken_for_somebody_elses(served, monkeypatch):
    edit_weights(served)
    look(served)
    seen = served.traffic.weights

    def weights(slug):
        RegisteredModel.objects.update(fence=99)
        return seen(slug)

    monkeypatch.setattr(served.traffic, "weights", weights)
    assert look(served) == []


# ---------------------------------------------------------------- putting right


def reconcile(world, by="emil"):
    return operations.reconcile(
        model=world.model, reason="Nobody was to touch it.", actor=world.people[by], now=world.now
    )


def test_everything_is_put_back(served):
    edit_weights(served)
    archive(served)
    move_alias(served)
    assert len(look(served, times=2)) == 3
    transition = served.drive(reconcile(served))
    assert (transition.kind, transition.status) == (Kind.RECONCILIATION, Status.FINISHED)
    assert served.weights() == {2: 90, 3: 10}
    assert served.registry.version(VersionRef(NAME, 2)).stage == "Production"
    assert served.registry.model(NAME).aliases == {"production": 2, "staging": 3}
    assert look(served) == []
    assert {each.role for each in served.model.variants.all()} == {VariantRole.PRODUCTION, VariantRole.STAGING}


def test_users_are_kept_with_one_version_as_before(served):
    Policy.objects.update(body={**POLICY, "rollout": {"sticky": "cookie"}})
    edit_weights(served)
    look(served, times=2)
    served.drive(reconcile(served))
    assert len(served.weights()) == 2
    assert served.traffic.sticky[NAME] is not None


def test_mlflow_is_put_right_without_a_gateway(served):
    archive(served)
    look(served, times=2)
    served.traffic.down = True
    assert served.drive(reconcile(served)).status == Status.FINISHED
    assert served.registry.version(VersionRef(NAME, 2)).stage == "Production"


def test_a_version_that_was_put_back_into_staging_may_go_on(served):
    served.registry.set_stage(VersionRef(NAME, 3), "Archived")
    look(served, times=2)
    served.drive(reconcile(served))
    served.pass_time(seconds=1)
    assert history.why_past_the_gate(served.version(3), Stage.PRODUCTION) == ""


def test_the_row_holds_what_is_to_be_put_back(served):
    edit_weights(served)
    look(served, times=2)
    created = reconcile(served)
    assert created.target == {
        "weights": {"2": 90, "3": 10},
        "stages": {"2": "Production", "3": "Staging"},
        "aliases": {"production": 2, "staging": 3},
    }
    assert (created.version.version, created.status) == (2, Status.RUNNING)
    assert AuditEntry.objects.filter(action="reconciliation_started", transition=created.pk).count() == 1


def test_putting_right_is_refused_where_there_is_nothing_to_do_or_something_runs(served):
    with pytest.raises(RefusedError, match="Nothing is to be put right"):
        reconcile(served)
    edit_weights(served)
    look(served, times=2)
    with pytest.raises(RefusedError, match="need the role"):
        reconcile(served, by="priya")
    reconcile(served)
    with pytest.raises(RefusedError, match="has a transition already"):
        reconcile(served)
