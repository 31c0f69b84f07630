"""The inbox, and what people decide on a transition's page, by forms."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from lifecycle import queries, queries_inbox
from lifecycle.domain import policy as policy_values
from lifecycle.models import (
    Approval,
    AuditEntry,
    Evidence,
    ModelVersion,
    Observation,
    Policy,
    RegisteredModel,
    Status,
    Team,
    Transition,
    Variant,
    Waiver,
)
from portal.accounts.models import RoleAssignment, User
from tests.support.asked import asked, frozen, reported

STAKE = "iris 1.1.0 would take 5 %, then 25 %, 50 % and all requests from 1.0.0, over 1 min 10 s or longer."


@pytest.fixture
def waiting(world):
    return asked(world)


def words_of(response, status=200):
    """The page's words, without markup."""
    assert response.status_code == status, response.status_code
    text = re.sub(r"<[^>]+>", "", response.content.decode())
    return re.sub(r"\s+", " ", unescape(text).replace("\N{NO-BREAK SPACE}", " "))


def seen_on(page):
    return re.search(r'name="seen" value="([0-9a-f]{64})"', page.content.decode())[1]


def post(browser, transition, deed, **values):
    return browser.post(f"/transitions/{transition.pk}/{deed}/", {"reason": "The figures are good.", **values})


def status_of(transition):
    return Transition.objects.get(pk=transition.pk).status


def count_of(browser, address="/record/"):
    """The number beside the inbox in the frame of any page."""
    found = re.search(r'<span class="count"[^>]*>(\d+)', browser.get(address).content.decode())
    return int(found[1]) if found else 0


# ---------------------------------------------------------------- the inbox


def test_the_inbox_says_what_is_asked_and_what_a_yes_does(waiting, signed_in):
    priya = signed_in("priya")
    page = words_of(priya.get("/inbox/"))
    for each in (
        STAKE,
        "Move 1.1.0 to Production",
        "emil asked",
        "It is better.",
        "Ready for Production",
        "2 passed",
    ):
        assert each in page
    for each in ("Unit tests", "Code review", "Still waiting for the yes of: product owner", "It stands for 7 d"):
        assert each in page
    assert STAKE in words_of(priya.get("/"))
    assert (count_of(priya), count_of(signed_in("emil")), count_of(signed_in("aron"))) == (1, 0, 0)


def test_whoever_asked_sees_whom_it_waits_for(waiting, world, signed_in):
    page = words_of(signed_in("emil").get("/inbox/"))
    assert "Nothing waits for you" in page
    assert "Waits for: product owner, ML engineer. priya, mia could say yes." in page
    world.approve(waiting, "mia")
    page = words_of(signed_in("emil").get("/inbox/"))
    assert "Waits for: product owner. priya could say yes." in page
    assert "mia said yes" in page
    assert "Nothing waits for you" in words_of(signed_in("mia").get("/inbox/"))


def test_a_role_for_a_team_counts_for_its_models_alone(waiting, world, signed_in):
    team = Team.objects.create(name="Flowers", slug="flowers")
    RoleAssignment.objects.create(user=User.objects.create_user("tom", password="tom"), role="product_owner", team=team)
    tom = signed_in("tom")
    assert count_of(tom, "/inbox/") == 0
    RegisteredModel.objects.update(team=team)
    assert STAKE in words_of(tom.get("/inbox/"))


def test_what_waits_is_read_once_a_page(waiting, signed_in):
    priya = signed_in("priya")
    for address in ("/", "/inbox/"):
        with CaptureQueriesContext(
            connection,
        ) as seen:
            priya.get(address)
        asking = [each["sql"] for each in seen if "\"status\" = 'awaiting_approval'" in each["sql"]]
        assert len(asking) == 1, address


def test_many_that_wait_take_no_more_queries_than_one(waiting, people):
    def queries_for(name):
        with CaptureQueriesContext(connection) as seen:
            found = queries_inbox.inbox(people[name]).count
        return found, len(seen)

    one, queries = queries_for("priya")
    for number in range(5):
        model = RegisteredModel.objects.create(name=f"iris-{number}", slug=f"iris-{number}")
        version = ModelVersion.objects.get(pk=waiting.version_id)
        version.pk, version.model = None, model
        version.save()
        row = Transition.objects.get(pk=waiting.pk)
        row.pk, row.model, row.version = None, model, version
        row.save()
    assert (one, queries_for("priya")) == (1, (6, queries))


# ---------------------------------------------------------------- yes and no


def test_a_yes_from_the_inbox_leads_back_to_it(waiting, signed_in):
    mia = signed_in("mia")
    page = mia.get("/inbox/")
    answer = post(mia, waiting, "approve", seen=seen_on(page), back="inbox")
    assert (answer.status_code, answer["Location"]) == (302, "/inbox/")
    assert "You have said yes to 1.1.0 in Production. It still waits for: product owner." in words_of(
        mia.get("/inbox/")
    )
    priya = signed_in("priya")
    answer = post(priya, waiting, "approve", seen=seen_on(priya.get("/inbox/")))
    assert "Nothing is missing any more: it starts now." in words_of(priya.get(answer["Location"]))
    assert status_of(waiting) == Status.APPROVED


def test_a_yes_to_something_else_is_refused_and_shown_what_changed(waiting, world, signed_in):
    priya = signed_in("priya")
    old = seen_on(priya.get("/inbox/"))
    world.approve(waiting, "mia")
    reported(world)
    page = words_of(priya.get(f"/transitions/{waiting.pk}/"))
    assert "mia's yes is void: The criterion “Unit tests” changed since then." in page
    answer = post(priya, waiting, "approve", seen=old)
    page = words_of(answer, 409)
    assert "The criterion “Unit tests” changed since then. Nothing was decided" in page
    assert "mia's yes is void: The criterion “Unit tests” changed since then." in page
    assert "Still waiting for the yes of: ML engineer" in page
    assert AuditEntry.objects.get(refused=True).action == "approve"
    assert post(priya, waiting, "approve", seen=seen_on(answer)).status_code == 302
    assert Approval.objects.get(voided_at=None).person_name == "priya"
    assert status_of(waiting) == Status.AWAITING_APPROVAL


def test_a_yes_that_became_the_last_one_is_not_taken_for_one_that_moves_nothing(waiting, world, signed_in):
    priya = signed_in("priya")
    said = {"seen": seen_on(priya.get("/inbox/")), "missing": 2}
    world.approve(waiting, "mia")
    page = words_of(post(priya, waiting, "approve", **said), 409)
    assert "yours is the last yes it takes now: it would start at once" in page
    assert "Approve and start" in page
    assert "The figures are good." in page
    assert status_of(waiting) == Status.AWAITING_APPROVAL
    assert post(priya, waiting, "approve", **said | {"missing": 1}).status_code == 302
    assert status_of(waiting) == Status.APPROVED


def test_what_was_shown_counts_also_before_the_engine_looked_again(waiting, world, signed_in):
    reported(world)
    priya = signed_in("priya")
    assert post(priya, waiting, "approve", seen=seen_on(priya.get("/inbox/"))).status_code == 302
    assert Approval.objects.get().person_name == "priya"


def test_a_double_click_is_one_yes_and_no_error(waiting, signed_in):
    mia = signed_in("mia")
    seen = seen_on(mia.get("/inbox/"))
    first, second = post(mia, waiting, "approve", seen=seen), post(mia, waiting, "approve", seen=seen)
    assert first["Location"] == second["Location"] == f"/transitions/{waiting.pk}/"
    page = words_of(mia.get(second["Location"]))
    assert "You have already said yes." in page
    assert Approval.objects.count() == 1
    for _ in range(2):
        answer = post(mia, waiting, "cancel")
        assert answer.status_code == 302
    assert "You have done that already." in words_of(mia.get(answer["Location"]))


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ("reject", "mia has rejected this just now; it is rejected now."),
        ("approve", "mia has approved this just now; it is approved now."),
    ],
)
def test_whoever_comes_second_is_told_what_happened(waiting, world, signed_in, deed, told):
    priya, mia = signed_in("priya"), signed_in("mia")
    if deed == "approve":
        User.objects.create_user("paul", password="paul").role_assignments.create(role="product_owner")
        post(signed_in("paul"), waiting, "approve")
    assert post(mia, waiting, deed).status_code == 302
    for mine in ("approve", "reject"):
        page = words_of(post(priya, waiting, mine), 409)
        assert told in page
        assert "Nothing more was decided" in page
    assert not Approval.objects.filter(person_name="priya").exists()


def test_taking_back_and_expiring(waiting, world, signed_in):
    world.approve(waiting, "priya", "mia")
    mia = signed_in("mia")
    assert "Take my approval back" in words_of(mia.get(f"/transitions/{waiting.pk}/"))
    assert "Take my approval back" not in words_of(signed_in("emil").get(f"/transitions/{waiting.pk}/"))
    post(mia, waiting, "take-back", reason="I mistook it for 1.2.0.")
    page = words_of(mia.get(f"/transitions/{waiting.pk}/"))
    assert "mia took their yes back just now" in page
    assert "I mistook it for 1.2.0." in page
    assert status_of(waiting) == Status.AWAITING_APPROVAL
    world.pass_time(days=8)
    page = words_of(signed_in("mia").get(f"/transitions/{waiting.pk}/"))
    assert "priya's yes is void: It has expired." in page
    assert "Still waiting for the yes of: product owner" in page


def test_it_is_too_late_to_take_back_what_has_begun(waiting, world, signed_in):
    world.tick(world.approve(waiting, "priya", "mia"), 3)
    page = words_of(post(signed_in("mia"), waiting, "take-back"), 409)
    assert "It is too late to take your approval back: this transition is running." in page


# ---------------------------------------------------------------- who it is


def test_a_yes_to_production_asks_who_it_is_after_a_while(world, signed_in):
    waiting = asked(world, confirm_after="15m")
    mia = signed_in("mia")
    assert "asked for your password" not in words_of(mia.get("/inbox/"))
    world.pass_time(minutes=40)
    page = mia.get("/inbox/")
    told = "You showed who you are 40 minutes ago, so you will be asked for your password or second factor first."
    assert told in words_of(page)
    answer = post(mia, waiting, "approve", seen=seen_on(page), reason="It is faster.")
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/account/confirm/")
    assert not Approval.objects.exists()
    answer = mia.post(answer["Location"], {"password": "mia"})
    assert answer["Location"] == f"/transitions/{waiting.pk}/#decide"
    page = mia.get(f"/transitions/{waiting.pk}/")
    assert "You have shown who you are. Nothing is decided yet" in words_of(page)
    assert page.content.decode().count("It is faster.</textarea>") >= 1
    assert not Approval.objects.exists()
    assert "Nothing is decided yet" not in words_of(mia.get(f"/transitions/{waiting.pk}/"))
    post(mia, waiting, "approve", seen=seen_on(page), reason="It is faster.")
    assert Approval.objects.get().reason == "It is faster."


# ---------------------------------------------------------------- emergencies


def test_a_bypass_is_on_the_front_page_until_somebody_else_has_reviewed_it(waiting, world, signed_in):
    page = f"/transitions/{waiting.pk}/"
    assert "Go on without the approvals" not in words_of(signed_in("priya").get(page))
    ada = signed_in("ada")
    assert "It starts at once, without the yes of: product owner, ML engineer." in words_of(ada.get(page))
    post(ada, waiting, "bypass", reason="Users get errors.")
    assert status_of(waiting) == Status.APPROVED
    for name, may in (("priya", True), ("aron", True), ("ada", False), ("emil", False)):
        home = words_of(signed_in(name).get("/"))
        assert "Went on without approvals" in home
        assert "ada went on without the yes of: product owner, ML engineer" in home
        assert ("1 bypass waits for your review" in home) is may
        assert count_of(signed_in(name)) == may
        assert ("Review it" in words_of(signed_in(name).get(page))) is may
    assert "You let it go on, so somebody else reviews it." in words_of(ada.get(page))
    refused = ada.post(f"{page}bypass/review/", {"reason": "I was right."}, follow=True)
    assert "Somebody else has to review this" in words_of(refused)
    signed_in("aron").post(f"{page}bypass/review/", {"reason": "It was right; page mia next time."})
    assert "Went on without approvals" not in words_of(signed_in("priya").get("/"))
    assert "It was right; page mia next time." in words_of(signed_in("priya").get(page))


# ---------------------------------------------------------------- freezes


def test_a_freeze_that_holds_is_said_and_overridden_by_an_administrator(waiting, world, signed_in):
    frozen(world)
    page = f"/transitions/{waiting.pk}/"
    assert "When it is approved, it is held until Tue 3 Mar 2026, 09:01 UTC" in words_of(
        signed_in("mia").get("/inbox/")
    )
    world.approve(waiting, "priya", "mia")
    assert "Held until Tue 3 Mar 2026, 09:01 UTC by the freeze “End of the quarter”" in words_of(
        signed_in("mia").get(page)
    )
    assert "Approved; held until Tue 3 Mar 2026, 09:01 UTC" in words_of(signed_in("emil").get("/inbox/"))
    assert "The freeze “End of the quarter” holds changes of iris" in words_of(signed_in("mia").get("/models/iris/"))
    assert "Let this one go on" not in words_of(signed_in("mia").get(page))
    assert "Let this one go on" in words_of(signed_in("ada").get(page))
    assert world.tick(waiting, 3).checked_at is None
    post(signed_in("ada"), waiting, "override-freeze", reason="The books need this very version.")
    assert "ada let it go on just now: The books need this very version." in words_of(signed_in("mia").get(page))
    assert world.tick(waiting, 3).checked_at is not None


# ---------------------------------------------------------------- in one sentence


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"strategy": "blue_green"}, "answer one request on trial, then take all requests from 1.0.0 at once."),
        (
            {"strategy": "shadow"},
            "get copies of requests for 10 s or longer, then take all requests from 1.0.0 at once.",
        ),
        ({"strategy": "direct", "stable": None}, "take all requests at once; nobody serves Production now."),
        ({"to_stage": "Staging"}, "take 10 % of requests from 1.0.0, to be watched in Staging."),
        ({"steps": []}, "move to Production; no requests move."),
        ({"kind": "archival"}, "be archived: kept for reference, serving nobody."),
    ],
)
def test_what_is_at_stake(waiting, signed_in, values, sentence):
    steps = [{"weight": 10, "minimum": 10}] if "to_stage" in values else [{"weight": 100, "minimum": 10}]
    Transition.objects.update(**{"steps": steps, **values})
    assert f"iris 1.1.0 would {sentence}" in words_of(signed_in("priya").get(f"/transitions/{waiting.pk}/"))


# ---------------------------------------------------------------- many at once


def test_cases_that_are_read_together_are_as_each_by_itself(waiting, world):
    """By a policy that asks for everything, in each direction, with and without what only one of them has."""
    body = policy_values.dump(policy_values.Policy())
    everything = Policy.objects.create(number=9, body=body, reason="test", created_by="test", created_at=world.now)
    team = Team.objects.create(name="Owners of pears", slug="owners-of-pears")
    rows = [
        _another(waiting, everything, number, *stages)
        for number, stages in enumerate(
            [("Development", "Staging", None), ("Staging", "Production", team), ("Archived", "Archived", None)]
        )
    ]
    _measured(world, rows[1], team)
    priya = world.people["priya"]
    listed = queries_inbox.transitions(status=Status.AWAITING_APPROVAL).defer(*queries.NOT_LISTED)
    found = list(listed.select_related("version__model"))
    assert len(found) == 4
    with CaptureQueriesContext(connection) as seen:
        together = queries_inbox.cases_of(found, priya, world.now)
    assert len(seen) <= 5
    fresh = [Transition.objects.get(pk=row.pk) for row in found]
    assert together == [queries_inbox.case_of(row, priya, world.now) for row in fresh]
    case = next(each for each in together if each.page.transition.pk == rows[1].pk)
    states = {str(each.criterion): each.state for each in case.page.gate.findings}
    kinds = ("security_scan", "live_comparison", "soak")
    assert [states[kind] for kind in kinds] == ["passed", "waived", "missing"]
    assert case.page.freeze is not None
    assert sum(each.page.freeze is not None for each in together) == 1


def _another(asked_for, policy, number, stage, to_stage, team):
    """A copy of a transition that waits: of a model of its own, which has versions before."""
    row = Transition.objects.select_related("version", "stable").get(pk=asked_for.pk)
    model = RegisteredModel.objects.create(name=f"pear-{number}", slug=f"pear-{number}", team=team)
    for version in (row.stable, row.version):
        version.pk, version.model = None, model
    row.version.stage = {"Development": "None"}.get(stage, stage)
    row.version.stage_since = row.requested_at
    row.stable.save()
    row.version.save()
    row.pk, row.model, row.policy, row.version, row.stable = None, model, policy, row.version, row.stable
    row.from_stage, row.to_stage = stage, to_stage
    row.save(force_insert=True)
    return row


def _measured(world, row, team):
    """Evidence, a waiver and a freeze of its own, and requests in Staging beside the version in Production."""
    version = row.version
    bound = {"run_id": version.run_id, "source": version.source, "artifact_digest": version.artifact_digest}
    for passed in (False, True):
        Evidence.objects.create(
            version=version,
            criterion="security_scan",
            passed=passed,
            origin="ci",
            recorded_by="CI",
            recorded_at=world.now - timedelta(hours=2 - passed),
            **bound,
        )
    Waiver.objects.create(
        version=version,
        criterion="live_comparison",
        reason="It is small.",
        granted_by="mia",
        granted_by_id=User.objects.get(username="mia").pk,
        granted_at=world.now,
        expires_at=world.now + timedelta(days=3),
        **bound,
    )
    frozen(world, team=team)
    for each, role, weight in ((row.stable, "production", 90), (version, "staging", 10)):
        Variant.objects.create(model=row.model, version=each, role=role, weight=weight, url="http://localhost:1")
        Observation.objects.create(
            model=row.model,
            version=each,
            requests=50,
            errors=1,
            since=row.requested_at,
            until=row.requested_at + timedelta(minutes=5),
        )
