"""What people are told where nothing moves by itself: a version in Production that fails, one in Staging that gets no
requests."""

import re
from datetime import timedelta

import pytest

from lifecycle import mirror, queries_serving
from lifecycle.domain import compare
from lifecycle.domain.compare import Measure, MeasureState, Verdict, VerdictKind
from lifecycle.domain.stages import Stage
from lifecycle.models import ModelVersion, Policy, Status, Transition, Trial, Variant, VariantRole
from tests.support import rollouts
from tests.support.served import production, promoted, serves
from tests.support.world import POLICY


def errors(rate, state=MeasureState.BREACHED, **details):
    """The measure of Production's error rate, in percent."""
    return Measure(
        "error_rate_absolute",
        "Error rate",
        state,
        estimate=rate,
        limit=10.0,
        unit="%",
        on_breach="emergency",
        why="The version in Production fails too many of its requests; 10 % is the limit.",
        details=details,
    )


BREACHED = Verdict(VerdictKind.ROLL_BACK, "It fails too many.", (errors(12.34),), emergency=True)
SENTENCE = "1.0.0, which still serves 75 % of requests, fails 12.3 % of them (limit 10 %)."
SENTENCE_ALONE = "1.0.0, which serves 100 % of requests, fails 12.3 % of them (limit 10 %)."


@pytest.fixture
def beside(world):
    """1.1.0 is at 25 %, and 1.0.0, which has the rest, fails."""
    row = rollouts.running(world.version(2), world.version(1), Policy.objects.get(), world.now)
    rollouts.judged(row, rollouts.HOLD, world.now)
    fails(world, 1)
    return row


def fails(world, number, verdict=BREACHED, **about):
    since = world.now - rollouts.HOUR / 2
    about = {"model": world.model, "version": world.version(number), "since": since} | about
    seen = rollouts.counts(1260, 155)
    return rollouts.judged(None, verdict, world.now, kind=compare.Trial.PRODUCTION, canary=seen, **about)


def shown(browser, address, **headers):
    response = browser.get(address, headers=headers)
    assert response.status_code == 200, address
    return response.content.decode()


# ---------------------------------------------------------------- Production fails beside a rollout


def test_every_page_that_somebody_looks_at_says_what_fails_and_what_can_be_done(world, signed_in, beside):
    promoted(world, 3, 1)
    emil = signed_in("emil")
    for address in ("/", "/models/iris/", "/models/iris/versions/1/", f"/transitions/{beside.pk}/"):
        page = shown(emil, address)
        assert SENTENCE in page, address
        assert "Nothing moves by itself because of that while 1.1.0 is being brought in beside it." in page, address
        assert "A person can send requests on to 1.1.0 by hand." in page, address
        assert "Rolling back sends all requests to 1.0.0; only after that can 1.2.0 be brought back." in page, address
        assert "on 1,260 requests since" in page, address
        leads_there = f'id="failing-beside-{world.model.pk}"' in page
        assert leads_there == (address != f"/transitions/{beside.pk}/"), address
    assert "1 version fails in Production" in shown(emil, "/")
    assert SENTENCE not in shown(emil, "/models/iris/versions/2/")
    assert SENTENCE in shown(emil, f"/transitions/{beside.pk}/", **{"HX-Request": "true"})


def test_whoever_may_do_nothing_about_it_is_told_all_the_same(signed_in, beside):
    assert SENTENCE in shown(signed_in("aron"), f"/transitions/{beside.pk}/")


def test_the_button_that_sends_everything_to_what_fails_says_so(signed_in, beside):
    for address in ("/models/iris/", f"/transitions/{beside.pk}/", "/models/iris/ask/roll-back/"):
        page = shown(signed_in("emil"), address)
        assert "stays in Staging. But 1.0.0 fails 12.3 % of its requests (limit 10 %)." in page, address


@pytest.mark.parametrize(
    ("details", "rate", "told"),
    [
        ({}, 10.004, "fails 10.004 % of them (limit 10 %)."),
        ({"window": 60.0}, 50.0, "has failed 50 % of them over the last 1 min (limit 10 %)."),
    ],
)
def test_figures_never_look_like_their_limit_and_say_of_when_they_are(world, signed_in, beside, details, rate, told):
    verdict = Verdict(VerdictKind.ROLL_BACK, "It fails.", (errors(rate, **details),), emergency=True)
    Trial.objects.filter(kind=compare.Trial.PRODUCTION).update(verdict=compare.dump(verdict))
    page = shown(signed_in("aron"), "/")
    assert told in page
    assert ("on 1,260 requests since" in page) == (not details), "a figure of the last minute is of fewer requests"


def test_how_the_other_version_does_is_told_beside_it(world, signed_in, beside):
    measure = errors(0.3141, MeasureState.CLEAR)
    verdict = compare.dump(Verdict(VerdictKind.PROCEED, "It does well.", (measure,)))
    Trial.objects.filter(kind=compare.Trial.ROLLOUT).update(verdict=verdict)
    page = shown(signed_in("aron"), "/")
    assert "1.1.0 fails 0.314 % of its own: a person can send it more by hand." in page
    Transition.objects.filter(pk=beside.pk).update(paused_at=world.now, paused_by_name="Mia")
    assert "send it more by hand, once it is resumed." in shown(signed_in("aron"), "/")


@pytest.mark.parametrize("over", ["verdict", "trial", "weight", "rolling_back"])
def test_it_goes_away_when_it_no_longer_holds(world, signed_in, beside, over):
    trial = Trial.objects.filter(kind=compare.Trial.PRODUCTION)
    if over == "verdict":
        fine = Verdict(VerdictKind.PROCEED, "It does well.", (errors(0.1, MeasureState.CLEAR),))
        trial.update(verdict=compare.dump(fine))
    elif over == "trial":
        trial.update(until=world.now)
    elif over == "weight":
        Variant.objects.filter(version__version=1).update(weight=0)
    else:
        Transition.objects.filter(pk=beside.pk).update(status=Status.ROLLING_BACK)
    assert queries_serving.failing_everywhere() == ([], [])
    assert queries_serving.failing(world.model) == []
    assert "fails" not in shown(signed_in("emil"), "/models/iris/ask/roll-back/")


def test_names_from_outside_stay_text(world, signed_in, beside):
    hostile = "<img src=x onerror=alert(1)>\u202e"
    version = world.version(1)
    version.__class__.objects.filter(pk=version.pk).update(tags={"semantic_version": hostile})
    for address in ("/", "/models/iris/", f"/transitions/{beside.pk}/"):
        assert "<img src=x" not in shown(signed_in("emil"), address), address


def test_where_no_rollout_runs_it_is_told_with_the_way_there(world, signed_in):
    promoted(world, 1)
    Variant.objects.create(
        model=world.model, version=world.version(1), role="production", weight=100, weight_since=world.now
    )
    fails(world, 1)
    page = shown(signed_in("emil"), "/")
    assert SENTENCE_ALONE in page
    assert "Nothing moves by itself because of that: no version served before it." in page
    assert f'id="failing-decide-{world.model.pk}"' in page
    page = shown(signed_in("emil"), "/models/iris/")
    assert SENTENCE_ALONE in page
    assert "Stop serving" in page


def test_when_many_fail_at_once_the_front_page_names_all_and_stays_cheap(
    world, signed_in, django_assert_max_num_queries
):
    for number in range(9):
        world.registry.add_version(f"other-{number}")
    mirror.full_pass(world.registry, world.now)
    for version in ModelVersion.objects.filter(version=1):
        Variant.objects.create(
            model=version.model, version=version, role="production", weight=100, weight_since=world.now
        )
        fails(world, 1, model=version.model, version=version)
    emil = signed_in("emil")
    with django_assert_max_num_queries(12):
        page = shown(emil, "/")
    assert "10 versions fail in Production" in page
    assert page.count("fails 12.3 % of its requests (limit") == 9
    assert page.count("Nothing moves by itself") == 1


# ---------------------------------------------------------------- Staging gets no requests


@pytest.fixture
def staged(world):
    """1.0.0 serves Production, 1.1.0 waits to follow it, and 1.2.0 has come to Staging since, and has a share there."""
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    world.drive(world.approved(2, Stage.STAGING))
    body = {**POLICY, "canary_steps": [{"weight": 100, "minimum": 0}]}
    Policy.objects.create(number=2, body=body, reason="test", created_by="test", created_at=world.now)
    world.drive(world.approved(3, Stage.STAGING))
    assert world.weights() == {1: 90, 3: 10}
    return world


def why(page):
    """The sentence, without what stands between its words."""
    text = re.sub(r"<[^>]+>", "", page)
    return " ".join(text.split())


def test_a_change_of_production_that_took_the_requests_is_named(staged, signed_in):
    emil = signed_in("emil")
    assert "It gets no requests" not in shown(emil, "/models/iris/versions/3/")
    row = staged.drive(staged.approved(2, Stage.PRODUCTION))
    assert staged.weights() == {2: 100}
    for address in ("/models/iris/", "/models/iris/versions/3/"):
        page = shown(emil, address)
        assert f'href="/transitions/{row.pk}/"' in page
        assert re.search(
            r"The change of Production to 1\.1\.0 took its requests \(today, \d\d:\d\d:\d\d\)\. It can be taken out of "
            r"Staging and asked for again; then it gets a share of requests\.",
            why(page),
        ), address
        assert "/models/iris/versions/3/withdraw/" in page, address


def test_what_it_says_to_do_gives_it_a_share_again(staged, signed_in):
    staged.drive(staged.approved(2, Stage.PRODUCTION))
    emil = signed_in("emil")
    emil.post("/models/iris/versions/3/withdraw/", {"reason": "It is to be soaked."})
    staged.drive(Transition.objects.order_by("-pk")[0])
    staged.drive(staged.approved(3, Stage.STAGING))
    assert staged.weights() == {2: 90, 3: 10}
    assert "It gets no requests" not in shown(emil, "/models/iris/versions/3/")


def test_another_version_that_came_to_staging_is_named(staged, signed_in):
    page = why(shown(signed_in("emil"), "/models/iris/versions/2/"))
    assert "1.2.0 came to Staging and took its requests" in page
    assert "It can be archived and asked for again" in page


def test_while_a_change_runs_the_way_waits_for_its_end(staged, signed_in):
    row = staged.approved(2, Stage.PRODUCTION, by="emil")
    staged.drive(row, until=lambda row: row.step_since is not None)
    assert "Once 1.1.0 is done, it can be taken out of Staging" in why(
        shown(signed_in("emil"), "/models/iris/versions/3/")
    )
    assert "It gets no requests" not in shown(signed_in("emil"), "/models/iris/versions/2/")


@pytest.mark.parametrize(
    ("emergency", "number", "told"),
    [
        (False, 2, "It came back from Production by a rollback, and waits without requests"),
        (True, 3, "The change of Production to 1.1.0 took its requests"),
    ],
)
def test_after_a_rollback(staged, emergency, number, told):
    staged.drive(staged.approved(2, Stage.PRODUCTION))
    staged.drive(staged.roll_back(emergency=emergency))
    assert queries_serving.unserved(staged.version(number)).why == told


def test_a_rollback_that_took_the_requests_is_named(world):
    production(world)
    world.drive(world.approved(3, Stage.STAGING))
    world.drive(world.roll_back())
    assert queries_serving.unserved(world.version(3)).why == "The rollback to 1.0.0 took its requests"


def test_one_whose_own_rollout_was_taken_back(world):
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    world.drive(world.approved(2, Stage.STAGING))
    row = world.approved(2, Stage.PRODUCTION)
    world.drive(row, until=lambda row: row.step_since is not None)
    world.roll_back()
    world.drive(row)
    told = queries_serving.unserved(world.version(2))
    assert (told.why, told.by) == ("Its requests went back when its way to Production was rolled back", row)


def test_where_nobody_serves_there_was_nothing_to_share(world):
    world.drive(world.approved(1, Stage.STAGING))
    told = queries_serving.unserved(world.version(1))
    assert told.why == "When it came to Staging no version served Production, so there were no requests to share"
    assert told.way.startswith("Once a version serves Production, it can be taken out of Staging and asked for again")


def test_where_the_record_does_not_say_no_cause_is_made_up(world):
    arrived = world.drive(world.approved(1, Stage.STAGING))
    Transition.objects.filter(pk=arrived.pk).update(steps=[{"weight": 10, "minimum": 0}])
    told = queries_serving.unserved(world.version(1))
    assert (told.why, told.since, told.by) == ("A change of what serves took its requests", None, None)


def test_one_that_was_put_there_elsewhere(world, signed_in):
    version = world.version(1)
    version.__class__.objects.filter(pk=version.pk).update(stage="Staging", stage_since=world.now - timedelta(hours=1))
    page = why(shown(signed_in("emil"), "/models/iris/versions/1/"))
    assert "It was put into Staging outside Stagegate, which gives it no requests." in page
