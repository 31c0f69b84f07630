"""Business metrics over HTTP: what counts, what is refused, and what is sent again."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client

from lifecycle import judging, observing
from lifecycle.domain.observations import Moments
from lifecycle.domain.permissions import Action
from lifecycle.models import AuditEntry, MetricReport, Observation, Variant
from tests.support.tokens import program

ADDRESS = "/api/v1/models/iris/business-metrics/"
REPORT = {"version": 1, "metric": "conversion", "count": 120, "sum": 17.5, "sum_of_squares": 17.5}


@pytest.fixture
def shop(world):
    return program(world, "shop", Action.REPORT_METRICS)


def post(browser, body, **headers):
    text = body if isinstance(body, str) else json.dumps(body)
    return browser.post(ADDRESS, text, content_type="application/json", headers=headers)


def counted():
    rows = MetricReport.objects.order_by("pk").select_related("version")
    return [(row.version.version, row.details["business"]) for row in rows]


def test_a_report_becomes_part_of_an_observation_without_an_entry_of_its_own(world, shop):
    response = post(shop, REPORT)
    assert (response.status_code, response.json()) == (201, {"counted": 1, "repeated": 0})
    observing.collect(now=world.now)
    row = Observation.objects.get()
    assert (row.version.version, row.requests, row.until) == (1, 0, world.now)
    assert row.counts.business == {"conversion": Moments(120, 17.5, 17.5)}
    assert not AuditEntry.objects.exists()


def test_a_list_counts_whole_or_not_at_all(world, shop):
    response = post(shop, [REPORT, {**REPORT, "version": 2, "metric": "Umsatz je Kunde"}])
    assert response.json() == {"counted": 2, "repeated": 0}
    assert post(shop, [REPORT, {**REPORT, "version": 99}]).status_code == 404
    assert post(shop, [REPORT, {**REPORT, "count": -1}]).status_code == 422
    assert [version for version, _ in counted()] == [1, 2]
    assert post(shop, [REPORT] * 101).status_code == 422
    assert post(shop, []).status_code == 422


def test_the_names_of_metrics_are_few(world, shop):
    many = [{**REPORT, "metric": f"order {number}"} for number in range(50)]
    assert post(shop, many).status_code == 201
    assert "50 business metrics at most" in post(shop, {**REPORT, "metric": "order 50"}).json()["detail"]
    assert post(shop, many[:2]).status_code == 201
    Variant.objects.create(
        model=world.model, version=world.version(1), role="production", weight=100, weight_since=world.now
    )
    observe_and_judge(world)
    assert post(shop, {**REPORT, "metric": "order 50"}).status_code == 422
    assert post(shop, many[:2]).status_code == 201


def observe_and_judge(world):
    world.pass_time(seconds=10)
    observing.collect(now=world.now)
    judging.judge_all(now=world.now)


def test_a_variant_stands_for_the_version_that_has_it(world, shop):
    assert post(shop, {**REPORT, "version": None}).status_code == 400
    by_variant = {name: value for name, value in REPORT.items() if name != "version"}
    assert post(shop, {**by_variant, "variant": "stable"}).status_code == 409
    for number, role in ((1, "production"), (2, "staging")):
        Variant.objects.create(model=world.model, version=world.version(number), role=role, weight=50)
    for variant in ("stable", "canary"):
        assert post(shop, {**by_variant, "variant": variant}).status_code == 201
    assert [version for version, _ in counted()] == [1, 2]
    assert post(shop, {**REPORT, "variant": "stable"}).status_code == 422


def test_the_time_is_that_of_the_values_and_the_end_that_of_the_look(world, shop):
    since = world.now - timedelta(hours=3)
    until = since + timedelta(hours=2)
    assert post(shop, {**REPORT, "since": since.isoformat(), "until": until.isoformat()}).status_code == 201
    world.pass_time(seconds=3)
    observing.collect(now=world.now)
    row = Observation.objects.get()
    assert (row.since, row.until) == (since, world.now)


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"count": -3},
        {"sum_of_squares": 1.0},
        {"sum": 1e300},
        {"metric": "a\nb"},
        {"until": 61},
        {"until": -49 * 3600},
        {"since": 0},
        {"since": -50 * 3600},
        {"variant": "canary"},
        {"id": "a\nb"},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(world, shop, wrong):
    for name in ("since", "until"):
        if name in wrong:
            wrong = {name: (world.now + timedelta(seconds=wrong[name])).isoformat()}
    response = post(shop, {**REPORT, **wrong})
    assert response.status_code == 422, response.json()
    assert response.json()["detail"]
    assert not MetricReport.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        "[1]",
        '"text"',
        json.dumps({**REPORT, "count": "120"}),
        json.dumps({**REPORT, "count": True}),
        json.dumps({**REPORT, "sum": float("nan")}),
        json.dumps({**REPORT, "metric": "a\0b"}),
        json.dumps({**REPORT, "metric": "a" * 101}),
        json.dumps({**REPORT, "version": 10**30}),
        json.dumps({**REPORT, "until": "yesterday"}),
        json.dumps({**REPORT, "sum": 10**400}),
    ],
)
def test_what_is_malformed_is_refused(shop, body):
    assert post(shop, body).status_code == 400


def test_values_may_be_negative_and_rounded(shop):
    body = {**REPORT, "count": 3, "sum": -0.3, "sum_of_squares": 0.03}
    assert post(shop, body).status_code == 201


def test_a_sender_whose_clock_is_ahead_is_believed(world, shop):
    ahead = world.now + timedelta(seconds=50)
    body = {**REPORT, "since": (ahead - timedelta(seconds=10)).isoformat(), "until": ahead.isoformat()}
    assert post(shop, body).status_code == 201
    world.pass_time(seconds=3)
    observing.collect(now=world.now)
    row = Observation.objects.get()
    assert row.since < row.until == world.now


@pytest.mark.parametrize("by_header", [True, False], ids=["header", "id"])
def test_what_is_sent_again_is_counted_once(world, shop, by_header):
    headers, body = ({"Idempotency-Key": "run-7"}, REPORT) if by_header else ({}, {**REPORT, "id": "run-7"})
    assert post(shop, body, **headers).status_code == 201
    world.pass_time(minutes=5)
    again = post(shop, body, **headers)
    assert (again.status_code, again.json()) == (200, {"counted": 0, "repeated": 1})
    other = post(shop, {**body, "count": 121}, **headers)
    assert (other.status_code, other.json()["type"]) == (409, "urn:stagegate:idempotency_key")
    assert len(counted()) == 1
    assert MetricReport.objects.get().reported_by


def test_a_list_that_is_sent_again_counts_only_what_is_new(shop):
    first = {**REPORT, "id": "a"}
    assert post(shop, first).status_code == 201
    assert post(shop, [first, {**REPORT, "id": "b"}]).json() == {"counted": 1, "repeated": 1}


def test_who_may_report(world, client):
    assert post(Client(), REPORT).status_code in (401, 403)
    other = program(world, "shop", Action.RECORD_EVIDENCE)
    assert post(other, REPORT).status_code == 403
    assert AuditEntry.objects.get().refused
    client.login(username="aron", password="aron")
    assert post(client, REPORT).status_code == 403
    client.login(username="priya", password="priya")
    assert post(client, REPORT).status_code == 201
    assert len(counted()) == 1


def test_the_report_in_the_documentation_is_one_that_counts(world, shop):
    text = (Path(__file__).parents[3] / "docs/MONITORING.md").read_text()
    (body,) = re.findall(r"--data '(.*?)'", text)
    assert 'iris-random-forest/business-metrics/"' in text
    assert not re.search(r"(--header|-H)[^\n]*STAGEGATE_TOKEN", text)
    assert post(shop, body, **{"Idempotency-Key": "2026-03-01"}).status_code == 201
