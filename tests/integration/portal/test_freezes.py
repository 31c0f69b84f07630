"""Freezes: the calendar, planning and removing by forms, and everything about approvals and freezes by API."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client

from lifecycle.domain.permissions import Action
from lifecycle.models import AuditEntry, FreezeWindow, RegisteredModel, Status, Team, Transition
from portal.accounts.models import RoleAssignment, User
from portal.accounts.tokens import Wanted, create_own
from tests.support.asked import asked, frozen, reported

PLAN = {
    "name": "  Weekends ",
    "whose": "all",
    "starts": "2026-03-27T18:00",
    "ends": "2026-03-30T08:00",
    "zone": "Europe/Berlin",
    "repeats": "weekly",
    "until": "",
    "reason": "Nobody is there to roll back.",
}
BODY = {name: value for name, value in PLAN.items() if name not in ("whose", "until")} | {"name": "Weekends"}


def words_of(response, status=200):
    assert response.status_code == status, (response.status_code, response.content[:300])
    text = re.sub(r"<[^>]+>", "", response.content.decode())
    return re.sub(r"\s+", " ", unescape(text))


# ---------------------------------------------------------------- pages


def test_without_freezes_the_page_says_so(world, signed_in):
    page = words_of(signed_in("emil").get("/freezes/"))
    for each in ("No freeze holds anything now.", "No freeze begins within 90 days.", "No freeze is planned."):
        assert each in page
    assert "Plan a freeze" not in page
    assert "Product owners and administrators plan freezes." in words_of(signed_in("emil").get("/freezes/plan/"))


def test_planning_showing_and_removing(world, signed_in):
    priya = signed_in("priya")
    priya.cookies["stagegate_tz"] = "America/New_York"
    assert priya.post("/freezes/plan/", PLAN)["Location"] == "/freezes/"
    page = words_of(priya.get("/freezes/?month=2026-03"))
    assert "The freeze “Weekends” is planned." in page
    assert "Every week from Friday, 18:00 to Monday, 08:00, for the first time on 27 Mar 2026" in page
    assert "Fri 27 Mar 2026, 13:00 EDT to Mon 30 Mar 2026, 02:00 EDT" in page
    assert "Fri 27 Mar 2026, 18:00 CET to Mon 30 Mar 2026, 08:00 CEST Europe/Berlin" in page
    assert "It lasts 1 h shorter than the clock says, because the clocks go forward during it." in page
    assert "March 2026" in page
    assert "Weekends from 13:00" in page
    assert "Weekends until 02:00" in page
    assert "Weekends all day" in page
    assert "April 2026" in words_of(priya.get("/freezes/?month=2026-04"))
    assert "March 2026" in words_of(priya.get("/freezes/?month=never"))
    row = FreezeWindow.objects.get()
    world.pass_time(days=27)
    priya = signed_in("priya")
    assert "“Weekends” holds all models until Mon 30 Mar 2026, 06:00 UTC" in words_of(priya.get("/freezes/"))
    assert "Say why" in words_of(priya.post(f"/freezes/{row.pk}/remove/", {"reason": " "}, follow=True))
    assert signed_in("emil").post(f"/freezes/{row.pk}/remove/", {"reason": "I want to."}, follow=True)
    assert FreezeWindow.objects.get().removed_at is None
    priya.post(f"/freezes/{row.pk}/remove/", {"reason": "We have a night shift now."})
    page = words_of(priya.get("/freezes/"))
    assert "priya removed it just now" in page
    assert "We have a night shift now." in page
    assert priya.post("/freezes/99/remove/", {"reason": "No."}).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": " "}, "Give it a name"),
        ({"starts": ""}, "Say when it starts."),
        ({"starts": "soon"}, "Write a date and a time"),
        ({"ends": "2026-03-27T17:00"}, "It has to end after it starts."),
        ({"ends": "2026-04-27T17:00"}, "It would begin again before it has ended"),
        ({"zone": "Mars/Olympus"}, "Choose a time zone"),
        ({"repeats": "never", "until": "2026-05-01"}, "The last day belongs to a window that comes back"),
        ({"whose": "model", "model": "tulip"}, "There is no registered model called “tulip”."),
        ({"whose": "team", "team": ""}, "Choose a team."),
        ({"reason": ""}, "Say why"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(world, signed_in, wrong, told):
    Team.objects.create(name="Flowers", slug="flowers")
    answer = signed_in("ada").post("/freezes/plan/", PLAN | wrong)
    page = words_of(answer, 422)
    assert "Nothing was planned." in page
    assert told in page
    field = re.search(r'<span class="field-problem" id="problem-(\w+)"', answer.content.decode())[1]
    assert field in wrong
    assert f'aria-describedby="problem-{field}"' in answer.content.decode()
    if "reason" not in wrong:
        assert PLAN["reason"] in page
    assert not FreezeWindow.objects.exists()


def test_a_product_owner_of_a_team_freezes_its_models_alone(world, signed_in):
    team = Team.objects.create(name="Flowers", slug="flowers")
    RegisteredModel.objects.update(team=team)
    user = User.objects.create_user("tom", password="tom")
    RoleAssignment.objects.create(user=user, role="product_owner", team=team)
    tom = signed_in("tom")
    form = words_of(tom.get("/freezes/plan/"))
    assert "one team's models" in form
    assert "The changes of all models" not in form
    assert "you need the role" in words_of(tom.post("/freezes/plan/", PLAN, follow=True))
    assert tom.post("/freezes/plan/", PLAN | {"whose": "team", "team": team.pk}).status_code == 302
    assert tom.post("/freezes/plan/", PLAN | {"whose": "model", "model": "iris"}).status_code == 302
    page = words_of(tom.get("/freezes/"))
    assert "Weekends for the models of Flowers" in page
    assert "Weekends for iris" in page


# ---------------------------------------------------------------- the API


def call(browser, address, status=200, **body):
    address = f"/api/v1/{address}"
    answer = browser.post(address, body, content_type="application/json") if body else browser.get(address)
    assert answer.status_code == status, answer.content
    return answer.json()


def test_a_decision_by_api_from_request_to_review(world, signed_in):
    waiting = asked(world)
    priya, mia, ada, aron = (signed_in(name) for name in ("priya", "mia", "ada", "aron"))
    here = f"transitions/{waiting.pk}/"
    assert call(priya, "inbox/")["waiting"][0]["id"] == waiting.pk
    mine = call(signed_in("emil"), "inbox/")
    assert (mine["count"], mine["asked"][0]["could"]) == (0, ["priya", "mia"])
    shown = call(priya, here)
    assert (shown["waits_for"], len(shown["digest"])) == (["product_owner", "ml_engineer"], 64)
    assert [shown["shown"]["criteria"][0][0], shown["shown"]["criteria"][0][1][:6]] == ["Unit tests", "passed"]
    call(mia, f"{here}approve/", reason="Good.", digest=shown["digest"])
    reported(world)
    refused = call(priya, f"{here}approve/", 409, reason="Good.", digest=shown["digest"])
    assert refused["type"] == "urn:stagegate:changed_since_shown"
    now = call(priya, here)
    assert now["digest"] != shown["digest"]
    assert now["approvals"][0]["void_reason"] == "The criterion “Unit tests” changed since then."
    call(mia, f"{here}approve/", reason="Still good.", digest=now["digest"])
    taken = call(mia, f"{here}take-back/", reason="Let me look again.")
    assert taken["approvals"][1]["withdrawn_reason"] == "Let me look again."
    assert call(priya, f"{here}bypass/", 403, reason="Now.")["type"] == "urn:stagegate:role"
    bypassed = call(ada, f"{here}bypass/", reason="Users get errors.")
    assert (bypassed["status"], bypassed["bypass_missing"]) == ("approved", ["product owner", "ML engineer"])
    assert [row["id"] for row in call(aron, "inbox/")["bypasses"]] == [waiting.pk]
    assert call(aron, f"{here}bypass/review/", reason="It was right.")["bypass_reviewed_by_name"] == "aron"
    assert call(priya, f"{here}bypass/review/", 409, reason="Again.")["type"] == "urn:stagegate:already_reviewed"


def test_the_list_of_transitions(world, signed_in):
    waiting = asked(world)
    priya = signed_in("priya")

    def found(query):
        return [row["id"] for row in call(priya, f"transitions/?{query}")["results"]]

    everything = list(Transition.objects.order_by("-pk").values_list("pk", flat=True))
    assert found("") == everything
    assert len(everything) > 1
    assert found("status=awaiting_approval&model=iris") == [waiting.pk]
    assert found("waiting_for=me") == [waiting.pk]
    assert (found("model=tulip"), found("status=running")) == ([], [])
    assert [row["id"] for row in call(signed_in("emil"), "transitions/?waiting_for=me")["results"]] == []
    first = call(priya, "transitions/?limit=1")
    assert first["results"][0]["id"] == everything[0]
    assert first["next"]
    assert call(priya, "transitions/?status=asleep", 400)["errors"]["status"]
    assert call(priya, "transitions/?waiting_for=emil", 400)["errors"]["waiting_for"]


def test_freezes_by_api(world, signed_in):
    waiting = world.approve(asked(world), "priya", "mia")
    ada = signed_in("ada")
    created = call(ada, "freezes/", 201, **BODY, model="iris", until="2026-06-01")
    assert (created["model"], created["holds_now"], created["until"]) == ("iris", False, "2026-06-01")
    assert created["next"] == {"since": "2026-03-27T17:00:00Z", "until": "2026-03-30T06:00:00Z"}
    wrong = call(ada, "freezes/", 422, **BODY | {"ends": "2026-03-01T00:00"})
    assert (wrong["type"], wrong["detail"]) == ("urn:stagegate:freeze_ends", "It has to end after it starts.")
    assert call(ada, "freezes/", 422, **BODY | {"starts": "2026-03-27T18:00+01:00"})
    assert call(ada, "freezes/", 400, **BODY | {"starts": "soon"})["errors"]["starts"]
    assert call(ada, "freezes/", 400, **BODY, team="none")["errors"]["team"]
    assert call(signed_in("emil"), "freezes/", 403, **BODY)["type"] == "urn:stagegate:role"
    holds = frozen(world)
    assert call(ada, f"transitions/{waiting.pk}/")["freeze"]["name"] == "End of the quarter"
    assert [row["holds_now"] for row in call(ada, "freezes/")["results"]] == [True, False]
    removed = call(ada, f"freezes/{holds.pk}/remove/", reason="The books are done.")
    assert (removed["removed_by"], removed["next"]) == ("ada", None)
    assert call(ada, f"freezes/{holds.pk}/")["removed_reason"] == "The books are done."
    assert call(ada, f"transitions/{waiting.pk}/")["freeze"] is None
    assert call(ada, f"freezes/{holds.pk}/remove/", 409, reason="Again.")
    assert call(ada, "freezes/999/", 404)


@pytest.mark.parametrize(
    ("starts", "ends"),
    [
        ("0001-01-01T00:00", "0001-01-03T00:00"),
        ("9999-12-30T00:00", "9999-12-31T23:59"),
        ("2026-03-27T18:00", "9999-12-31T23:59"),
        ("0001-01-01T00:00+14:00", "0001-01-03T00:00+14:00"),
    ],
)
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_a_freeze_at_the_edge_of_time_is_refused(world, signed_in, zone, starts, ends):
    ada, times = signed_in("ada"), {"starts": starts, "ends": ends, "zone": zone, "repeats": "never"}
    assert call(ada, "freezes/", 422, **BODY | times)["type"].startswith("urn:stagegate:freeze_")
    assert ada.post("/freezes/plan/", PLAN | times).status_code == 422
    assert not FreezeWindow.objects.exists()
    assert ada.get("/freezes/").status_code == 200


def test_an_old_sign_in_is_no_yes_by_api_either(world, signed_in):
    waiting = asked(world)
    mia = signed_in("mia")
    world.pass_time(hours=1)
    assert call(mia, f"transitions/{waiting.pk}/approve/", 403, reason="Good.")["type"] == "urn:stagegate:confirm_again"


def test_a_token_does_none_of_it(world, signed_in):
    waiting = asked(world)
    freeze = frozen(world)
    wanted = Wanted("laptop", frozenset({Action.ROLL_BACK}), world.now + timedelta(days=3), "To try.")
    issued = create_own(wanted=wanted, actor=world.people["ada"], now=world.now)
    program = Client(headers={"Authorization": f"Bearer {issued.text}"})
    here = f"transitions/{waiting.pk}"
    for deed in ("approve/", "reject/", "take-back/", "bypass/", "bypass/review/", "override-freeze/"):
        refused = call(program, f"{here}/{deed}", 403, reason="By night.")
        assert "takes a person who has signed in" in refused["detail"], deed
    assert call(program, "freezes/", 403, **BODY)["type"] == "urn:stagegate:role"
    assert call(program, f"freezes/{freeze.pk}/remove/", 403, reason="By night.")
    assert call(program, "freezes/")["results"]
    assert AuditEntry.objects.filter(refused=True, actor="ada").count() == 8
    assert Transition.objects.get(pk=waiting.pk).status == Status.AWAITING_APPROVAL
