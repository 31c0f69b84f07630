"""Rolling back, drills, putting right and reviews by API; what each does is tested where it is written."""

import pytest

from lifecycle.models import Disagreement, Transition, VariantRole
from tests.integration.portal.test_api import post
from tests.support.served import production, promoted, serves


@pytest.fixture
def served(world):
    production(world)
    return world


def disagree(world):
    Disagreement.objects.create(
        model=world.model,
        version=world.version(2),
        what="stage",
        found="MLflow has 1.1.0 in Archived",
        expected="Stagegate serves it as Production",
        since=world.now,
    )


def test_a_drill_is_accepted(served, signed_in):
    response = post(signed_in("emil"), "models/iris/drill/", {"reason": "Practice.", "to_version": 1})
    assert response.status_code == 202
    body = response.json()
    assert (body["kind"], body["status"], body["version"], body["previous"]) == ("drill", "running", 2, 1)


def test_what_disagrees_is_shown_and_put_right(served, signed_in):
    disagree(served)
    browser = signed_in("emil")
    assert browser.get("/api/v1/models/iris/").json()["disagreements"] == [
        {
            "what": "stage",
            "version": 2,
            "found": "MLflow has 1.1.0 in Archived",
            "expected": "Stagegate serves it as Production",
            "since": "2026-03-01T09:02:00Z",
        }
    ]
    response = post(browser, "models/iris/reconcile/", {"reason": "By mistake."})
    assert (response.status_code, response.json()["kind"]) == (202, "reconciliation")


def test_a_version_is_withdrawn_from_staging(world, signed_in):
    serves(world, {2: 100}, {2: VariantRole.STAGING})
    response = post(signed_in("emil"), "models/iris/versions/2/withdraw/", {"reason": "Slow."})
    assert response.status_code == 202
    body = response.json()
    assert (body["kind"], body["from_stage"], body["to_stage"]) == ("rollback", "Staging", "Development")


def test_serving_is_stopped_only_when_asked_to(world, signed_in):
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    refused = post(signed_in("emil"), "models/iris/rollback/", {"reason": "Errors."})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:stagegate:no_previous_version")
    response = post(signed_in("emil"), "models/iris/rollback/", {"reason": "Errors.", "stop": True})
    assert (response.status_code, response.json()["previous"]) == (202, None)


def test_somebody_else_reviews(served, signed_in):
    rollback = served.roll_back()
    Transition.objects.filter(pk=rollback.pk).update(traffic_back_at=served.now)
    address = f"transitions/{rollback.pk}/review/"
    assert post(signed_in("emil"), address, {"reason": "Mine."}).status_code == 403
    response = post(signed_in("mia"), address, {"reason": "It was right."})
    assert (response.status_code, response.json()["reviewed_by_name"]) == (200, "mia")


@pytest.mark.parametrize(
    ("name", "address", "status", "rule"),
    [
        ("aron", "models/iris/drill/", 403, "role"),
        ("priya", "models/iris/reconcile/", 403, "role"),
        ("aron", "models/iris/versions/2/withdraw/", 403, "role"),
        ("emil", "models/iris/reconcile/", 409, "nothing_to_put_right"),
        ("emil", "models/iris/versions/2/withdraw/", 409, "not_staging"),
        ("emil", "models/none/drill/", 404, "not_found"),
        ("emil", "models/iris/versions/9/withdraw/", 404, "not_found"),
    ],
)
def test_a_refusal_says_which_rule(served, signed_in, name, address, status, rule):
    response = post(signed_in(name), address, {"reason": "x"})
    assert (response.status_code, response.json()["type"]) == (status, f"urn:stagegate:{rule}")


@pytest.mark.parametrize("address", ["models/iris/drill/", "models/iris/reconcile/"])
def test_a_reason_is_needed(served, signed_in, address):
    disagree(served)
    assert post(signed_in("emil"), address, {}).status_code == 422
