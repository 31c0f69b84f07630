"""Going back by the pages: every page that shows what serves offers it, and says what a click does."""

import pytest

from lifecycle import mirror
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Disagreement, Kind, Policy, Status, Transition, Variant
from tests.support.served import production
from tests.support.world import POLICY

ASK = "/models/iris/ask/roll-back/"


@pytest.fixture
def served(world):
    """1.0.0 was replaced by 1.1.0 and is kept warm; all requests moved in one step."""
    body = {**POLICY, "canary_steps": [{"weight": 100, "minimum": 0}]}
    Policy.objects.create(number=2, body=body, reason="test", created_by="test", created_at=world.now)
    production(world)
    return world


def shown(browser, address, status=200):
    response = browser.get(address)
    assert response.status_code == status, address
    return response.content.decode()


def newest():
    return Transition.objects.order_by("-pk")[0]


def disagree(world, **values):
    row = {
        "what": "weights",
        "found": "The gateway sends 30 % of requests to 1.1.0",
        "expected": "Stagegate left 5 % of requests to 1.1.0",
        "since": world.now,
    }
    return Disagreement.objects.create(model=world.model, **{**row, **values})


# ---------------------------------------------------------------- where it is offered


def test_every_page_that_shows_what_serves_offers_to_roll_back(served, signed_in):
    emil, done = signed_in("emil"), newest().pk
    for address in ("/models/iris/", "/models/iris/versions/2/", f"/transitions/{done}/", ASK):
        page = shown(emil, address)
        assert 'action="/models/iris/roll-back/"' in page, address
        assert "Roll back to <bdi>1.0.0</bdi>" in page, address
    served.drive(served.approved(3, Stage.STAGING))
    asked = served.approved(3, Stage.PRODUCTION)
    served.tick(asked, times=4)
    for address in ("/", "/models/"):
        assert ASK in shown(emil, address), address


def test_a_page_of_something_long_past_leads_to_what_serves_now(served, signed_in):
    first = Transition.objects.order_by("pk")[0]
    page = shown(signed_in("emil"), f"/transitions/{first.pk}/")
    assert ASK in page
    assert 'id="dialog-roll-back"' not in page


def test_whoever_may_not_roll_back_sees_no_button(served, signed_in):
    aron = signed_in("aron")
    for address in ("/", "/models/", "/models/iris/", "/models/iris/versions/2/", f"/transitions/{newest().pk}/"):
        page = shown(aron, address)
        assert "roll-back/" not in page, address
    assert "takes another role" in shown(aron, ASK)


def test_the_question_comes_as_a_dialog_where_a_script_asks(served, signed_in):
    emil = signed_in("emil")
    part = emil.get(ASK, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith("<dialog")
    assert "<html" not in part
    assert 'formmethod="dialog"' in part
    assert 'formmethod="dialog"' not in shown(emil, ASK)


def test_a_question_that_nobody_knows(served, signed_in):
    assert signed_in("emil").get("/models/iris/ask/dance/").status_code == 404


@pytest.mark.parametrize("warm", [True, False])
def test_the_dialog_says_what_happens_and_how_long_it_takes(served, signed_in, warm):
    if not warm:
        Variant.objects.filter(version__version=1).update(url="")
    page = shown(signed_in("emil"), "/models/iris/")
    assert ("It takes about a second" in page) == warm
    assert ("is started first" in page) == (not warm)
    assert "1.1.0 is archived" in page
    assert "1.1.0 goes to Staging" in page
    for words in ("Errors went up", "Too slow", "Wrong predictions"):
        assert page.count(f">{words}<") == 1


def test_the_list_makes_no_query_a_row(served, signed_in, django_assert_max_num_queries):
    for number in range(24):
        served.registry.add_version(f"model-{number}")
    mirror.full_pass(served.registry, served.now)
    for number in range(24):
        version = served.version(2).__class__.objects.get(model__name=f"model-{number}")
        Variant.objects.create(model=version.model, version=version, role="production", weight=100)
    emil = signed_in("emil")
    with django_assert_max_num_queries(16):
        page = shown(emil, "/models/")
    assert page.count("/ask/roll-back/") == 25


# ---------------------------------------------------------------- rolling back


@pytest.mark.parametrize(("kind", "stage"), [("emergency", Stage.ARCHIVED), ("graceful", Stage.STAGING)])
def test_after_a_rollback_stage_alias_weights_and_page_agree(served, signed_in, kind, stage):
    emil = signed_in("emil")
    response = emil.post("/models/iris/roll-back/", {"reason": "Errors went up.", "kind": kind, "to_version": 1})
    row = newest()
    assert response["Location"] == f"/transitions/{row.pk}/"
    served.drive(row)
    mirror.full_pass(served.registry, served.now)
    assert served.weights() == {1: 100}
    assert served.model.aliases["production"] == 1
    assert (served.version(1).domain_stage, served.version(2).domain_stage) == (Stage.PRODUCTION, stage)
    page = shown(emil, "/models/iris/")
    assert 'aria-label="Share of requests: 1.0.0 100 %"' in page
    assert "of 300 s" in page
    assert "of 300 s" in shown(emil, f"/transitions/{row.pk}/")


def test_a_click_on_a_page_that_is_out_of_date_does_not_go_back_twice(served, signed_in):
    emil, body = signed_in("emil"), {"reason": "Errors.", "kind": "emergency", "to_version": 1}
    emil.post("/models/iris/roll-back/", body)
    served.drive(newest())
    response = emil.post("/models/iris/roll-back/", body, follow=True)
    assert b"no other version 1 to go back to" in response.content
    assert served.weights() == {1: 100}


def test_the_first_version_can_only_be_stopped(world, signed_in):
    world.in_production(1)
    emil = signed_in("emil")
    for address in ("/models/iris/", "/models/iris/versions/1/", ASK):
        page = shown(emil, address)
        assert "Stop serving" in page, address
        assert "(503)" in page, address
    assert "is the first version in Production" in shown(emil, "/models/iris/")


def test_to_stop_takes_a_word_more_than_a_reason(world, signed_in):
    world.in_production(1)
    emil, before = signed_in("emil"), Transition.objects.count()
    body = {"reason": "Nothing works.", "stop": "yes"}
    assert b"Nothing was stopped" in emil.post("/models/iris/roll-back/", body, follow=True).content
    assert Transition.objects.count() == before
    emil.post("/models/iris/roll-back/", {**body, "confirmed": "yes"})
    row = newest()
    assert (row.kind, row.previous) == (Kind.ROLLBACK, None)
    served = world.drive(row)
    assert served.status == Status.FINISHED
    assert world.weights() == {}
    for address in (f"/transitions/{row.pk}/", "/models/iris/", "/"):
        assert "None" not in shown(emil, address).replace('value="None"', ""), address


def test_a_version_is_taken_out_of_staging(served, signed_in):
    served.drive(served.approved(3, Stage.STAGING))
    emil = signed_in("emil")
    for address in ("/models/iris/", "/models/iris/versions/3/"):
        page = shown(emil, address)
        assert "Take <bdi>1.2.0</bdi> out of Staging" in page, address
        assert "/models/iris/versions/3/withdraw/" in page, address
    emil.post("/models/iris/versions/3/withdraw/", {"reason": "Too slow."})
    served.drive(newest())
    assert served.weights() == {2: 100}
    assert "Take <bdi>iris</bdi> <bdi>1.2.0</bdi> out of Staging" in shown(emil, f"/transitions/{newest().pk}/")


@pytest.mark.parametrize(
    "address",
    ["models/iris/roll-back/", "models/iris/drill/", "models/iris/put-right/", "models/iris/versions/2/withdraw/"],
)
def test_without_a_reason_nothing_happens(served, signed_in, address):
    disagree(served)
    before = Transition.objects.count()
    emil = signed_in("emil")
    assert b"Say why" in emil.post(f"/{address}", {"reason": " "}, follow=True).content
    assert emil.get(f"/{address}").status_code == 405
    assert Transition.objects.count() == before
    assert AuditEntry.objects.filter(refused=True, actor="emil").count() == 1


# ---------------------------------------------------------------- drills and timings


def test_a_drill_is_offered_carried_out_and_timed(served, signed_in):
    emil = signed_in("emil")
    page = shown(emil, "/models/iris/")
    assert "Nothing was rolled back yet" in page
    assert "Real users get <bdi>1.0.0</bdi> instead of <bdi>1.1.0</bdi> for about a second" in page
    emil.post("/models/iris/drill/", {"reason": "Friday."})
    row = served.drive(newest())
    assert (row.kind, row.status) == (Kind.DRILL, Status.FINISHED)
    assert served.weights() == {2: 100}
    for address in ("/models/iris/", f"/transitions/{row.pk}/"):
        page = shown(emil, address)
        assert "Drill a rollback of" in page, address
        assert "of 300 s" in page, address
    assert "rolled it back" not in shown(emil, f"/transitions/{row.pk}/")


def test_without_a_second_version_there_is_no_drill(world, signed_in):
    world.in_production(1)
    page = shown(signed_in("emil"), "/models/iris/")
    assert "No drill now" in page
    assert 'id="dialog-drill"' not in page


# ---------------------------------------------------------------- what was changed elsewhere


def test_a_disagreement_is_shown_where_it_matters_and_vanishes(served, signed_in):
    row = disagree(served)
    emil = signed_in("emil")
    addresses = ("/", "/models/iris/", "/models/iris/versions/2/")
    for address in addresses:
        page = shown(emil, address)
        assert "The gateway sends 30 % of requests to 1.1.0; Stagegate left 5 % of requests to 1.1.0." in page, address
        assert "Put it right" in page, address
    part = emil.get("/models/iris/", headers={"HX-Request": "true"}).content
    assert b"The gateway sends 30 %" in part
    row.delete()
    for address in addresses:
        assert "The gateway sends 30 %" not in shown(emil, address), address


def test_who_may_not_put_it_right_is_told_who_may(served, signed_in):
    disagree(served)
    page = shown(signed_in("aron"), "/models/iris/")
    assert "The gateway sends 30 %" in page
    assert 'id="dialog-put-right"' not in page
    assert "administrators can put it right" in page


def test_put_right(served, signed_in):
    disagree(served)
    served.traffic.set_by_hand("iris", {1: 30, 2: 70})
    emil = signed_in("emil")
    assert "Written to the gateway:" in shown(emil, "/models/iris/ask/put-right/")
    emil.post("/models/iris/put-right/", {"reason": "Nobody knows who did that."})
    row = served.drive(newest())
    assert (row.kind, row.status) == (Kind.RECONCILIATION, Status.FINISHED)
    assert served.weights() == {2: 100}
    assert "Put <bdi>iris</bdi> <bdi>1.1.0</bdi> right" in shown(emil, f"/transitions/{row.pk}/")


def test_what_was_found_stays_text(served, signed_in):
    disagree(served, found="<img src=x onerror=alert(1)>\u202e")
    page = shown(signed_in("emil"), "/models/iris/")
    assert "<img" not in page
    assert "<bdi>&lt;img" in page


# ---------------------------------------------------------------- reviews


def test_a_rollback_asks_somebody_else_for_a_review(served, signed_in):
    emil, mia = signed_in("emil"), signed_in("mia")
    emil.post("/models/iris/roll-back/", {"reason": "Errors went up.", "kind": "emergency"})
    row = served.drive(newest())
    for address in ("/", "/inbox/"):
        assert "Rollbacks to review" in shown(mia, address), address
        assert "Rollbacks to review" not in shown(emil, address), address
    page = shown(emil, f"/transitions/{row.pk}/")
    assert "somebody else reviews it" in page
    assert 'id="dialog-review"' not in page
    assert 'id="dialog-review"' in shown(mia, f"/transitions/{row.pk}/")
    mia.post(f"/transitions/{row.pk}/review/", {"reason": "It was right; the data was late."})
    page = shown(emil, f"/transitions/{row.pk}/")
    assert "It was right; the data was late." in page
    assert "Rollbacks to review" not in shown(mia, "/")


def test_ones_own_rollback_is_not_reviewed_by_oneself(served, signed_in):
    emil = signed_in("emil")
    emil.post("/models/iris/roll-back/", {"reason": "Errors went up."})
    row = served.drive(newest())
    response = emil.post(f"/transitions/{row.pk}/review/", {"reason": "I was right."}, follow=True)
    assert b"Somebody other than whoever rolled back" in response.content
    assert Transition.objects.get(pk=row.pk).reviewed_at is None
