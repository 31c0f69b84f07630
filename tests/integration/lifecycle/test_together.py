"""Lists that are read in one query are what they would be if each were read by itself."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.db.models import Count, Max, Q, Window
from django.test.utils import CaptureQueriesContext

from lifecycle.models import Approval, AuditEntry, Evidence, ModelVersion, Policy, Transition, Waiver
from lifecycle.together import Prepared, Together
from tests.support.asked import asked, reported

HOSTILE = "%s '; -- “ \N{SNOWMAN} \n\t\\"


def columns_of(row):
    deferred = row.get_deferred_fields()
    return {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.attname not in deferred
    }


def lists(world, row):
    version = world.version(2)
    return {
        "approvals": row.approvals.all(),
        "record": AuditEntry.objects.order_by("-seq")[:3],
        "evidence": Evidence.objects.filter(version=version),
        "slim": Transition.objects.filter(model=world.model).only("kind", "version").order_by("-id"),
        "deferred": ModelVersion.objects.filter(model=world.model).defer("metrics", "tags").order_by("-version"),
        "counted": Evidence.objects.filter(version=version).annotate(
            recorded=Window(Count("pk")), latest=Window(Max("recorded_at"))
        ),
        "nothing": Waiver.objects.none(),
        "empty": Waiver.objects.filter(version=version),
        "policies": Policy.objects.all(),
    }


def test_what_is_read_together_is_what_is_read_alone(world):
    row = world.approve(asked(world), "mia")
    for number, value in enumerate((0.1 + 0.2, 1e-300, 123456789.123456789, None, 7.0)):
        values = {"value": value, "detail": HOSTILE, "measurements": {"found": [0.1 + 0.2, None, HOSTILE]}}
        reported(world, "load_test", recorded_at=world.now + timedelta(microseconds=number), **values)
    wanted = lists(world, row)
    with CaptureQueriesContext(connection) as seen:
        found = Together(**wanted)
        read = {name: found[name] for name in wanted}
    assert len(seen) == 1
    for name, alone in wanted.items():
        assert read[name] == list(alone), name
        assert [columns_of(each) for each in read[name]] == [columns_of(each) for each in alone], name
    assert [(each.recorded, each.latest) for each in read["counted"]] == [
        (each.recorded, each.latest) for each in wanted["counted"]
    ]
    assert read["slim"][0].get_deferred_fields() == wanted["slim"][0].get_deferred_fields()


def test_a_list_that_is_added_later_is_read_by_itself(world):
    row = asked(world)
    found = Together(approvals=row.approvals.all())
    assert found["approvals"] == []
    world.approve(row, "mia")
    found.add(yeses=Approval.objects.filter(approved=True))
    assert [each.person_name for each in found["yeses"]] == ["mia"]
    assert found["approvals"] == [], "it is as it was when it was read"


def test_a_list_takes_the_place_of_what_a_row_would_read(world):
    row = world.approve(asked(world), "mia")
    found = Together(approvals=row.approvals.all())
    found.attach(row, "approvals", "approvals")
    with CaptureQueriesContext(connection) as seen:
        assert [each.person_name for each in row.approvals.all()] == ["mia"]
    assert not len(seen)


def of_keys(model, number, name, since, other):
    entries = AuditEntry.objects.filter(model=name, version=number).order_by("seq")
    before = ModelVersion.objects.filter(Q(version=number) | Q(version__lt=number), model=model)
    return {
        "entries": entries if since is None else entries.filter(at__gt=since),
        "versions": before if other is None else before.exclude(version=other),
        "numbers": before.order_by("version").values_list("version", "stage", "tags"),
    }


def test_what_was_prepared_for_some_keys_is_read_for_others(world):
    asked(world)
    reported(world, "load_test")
    prepared = Prepared(of_keys)
    moments = (None, world.now - timedelta(days=1), world.now + timedelta(days=1))
    for number in (9, 1, 2):
        for since in moments:
            for other in (None, 1):
                keys = {
                    "model": world.model.pk,
                    "number": number,
                    "name": world.model.name,
                    "since": since,
                    "other": other,
                }
                found = Together(**prepared(**keys))
                for name, alone in of_keys(**keys).items():
                    assert found[name] == list(alone), (name, keys)
    assert Together(**prepared(**{**keys, "since": None}))["entries"], "or nothing is compared above"
