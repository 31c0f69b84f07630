"""A rollout on its page: what people see at a glance, what they are offered, and its charts."""

import re
from datetime import timedelta

import pytest
from django.core.cache import cache

from lifecycle import queries_rollouts
from lifecycle.domain import compare
from lifecycle.domain.permissions import Role
from lifecycle.domain.plan import PlannedStep
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Observation, Policy, Strategy, Transition, Variant, VariantRole
from portal.accounts.models import User
from tests.support import rollouts

SECOND = timedelta(seconds=1)
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def nothing_remembered():
    """The course that another test has drawn: its rows may have had the same numbers."""
    cache.clear()


@pytest.fixture
def make(world):
    """A rollout of 1.1.0, halfway."""

    def rollout(**values) -> Transition:
        return rollouts.running(world.version(2), world.version(1), Policy.objects.get(), world.now, **values)

    return rollout


def page_of(browser, row, **headers):
    return browser.get(f"/transitions/{row.pk}/", headers=headers).content.decode()


def buttons(browser, row):
    return re.findall(r'id="steer-(\w+)"', page_of(browser, row))


# ---------------------------------------------------------------- at a glance


def test_it_says_where_it_stands_and_what_it_waits_for(world, signed_in, make):
    row = make(waiting_for="25 % of requests go to the new version.", waiting_until=world.now + 90 * SECOND)
    rollouts.judged(row, rollouts.HOLD, world.now)
    page = page_of(signed_in("emil"), row)
    assert "From <bdi>1.0.0</bdi> to <bdi>1.1.0</bdi>" in page
    states = re.findall(r"rail-step rail-(\w+)", page)
    assert states == ["done", "current", "ahead", "ahead"]
    assert "took 1 h" in page
    assert (world.now + 90 * SECOND).isoformat() in page
    assert "The data drift of petal_width is over its limit" in page
    assert re.search(r"420 requests? to", page)
    assert "2 s" not in re.findall(r"Judged <time[^>]*>([^<]*)<", page)[0]


def test_every_measure_has_its_interval_its_limit_and_its_state_in_words(world, signed_in, make):
    row = make()
    rollouts.judged(row, rollouts.HOLD, world.now)
    page = page_of(signed_in("aron"), row)
    for words in ("Breached", "Undecided", "Clear", "Not measured", "at most 2 points", "it is taken back"):
        assert words in page
    assert page.index("Breached") < page.index("Undecided") < page.index("Not measured")
    assert page.count('<svg class="interval') == 3
    assert re.search(r"<bdi>petal_width</bdi> 0.41,\s+<bdi>petal_length</bdi> 0.12", page)
    assert " style=" not in page


def test_pausing_and_being_asked_are_loud(world, signed_in, make):
    row = make(paused_at=world.now, paused_by_name="Mia", pause_reason="Until noon.", waiting_for="Paused by Mia")
    page = page_of(signed_in("emil"), row)
    assert 'class="alarm"' in page
    assert "Until noon." in page
    assert "Paused by Mia" not in page, "said once"
    Transition.objects.update(paused_at=None, asks_person=True, waiting_for="Somebody has to look.")
    assert "It waits for a person" in page_of(signed_in("emil"), row)


def test_a_shadow_shows_how_its_answers_compare(world, signed_in, make):
    row = make(steps=rollouts.SHADOW_STEPS, strategy=Strategy.SHADOW, step=0)
    answers = {"same": 95, f"{HOSTILE}→virginica": 4, "≤1 %": 1}
    seen = rollouts.counts(100, 0, answers=answers)
    same = compare.Measure("agreement", "Same answers as stable", compare.MeasureState.CLEAR, estimate=95.0, unit="%")
    verdict = compare.Verdict(compare.VerdictKind.PROCEED, "It answers alike.", (same,))
    rollouts.judged(row, verdict, world.now, kind=compare.Trial.SHADOW, canary=seen)
    page = page_of(signed_in("emil"), row)
    assert "Users get none of its answers" in page
    assert ">95.0<" in page
    assert "100 compared answers" in page
    assert "≤1 %" in page
    assert HOSTILE not in page
    assert "Latency side by side" in page


def test_before_the_first_verdict_it_says_so(world, signed_in, make):
    row = make()
    rollouts.judged(row, None, world.now)
    page = page_of(signed_in("emil"), row)
    assert "Not judged yet" in page
    assert "Nothing has been measured yet" in page


def test_names_from_outside_stay_text(world, signed_in, make):
    measure = compare.Measure(
        "drift",
        "Data drift",
        compare.MeasureState.CLEAR,
        why=HOSTILE,
        details={"features": [{"name": HOSTILE, "estimate": 1.0}]},
    )
    row = make()
    rollouts.judged(row, compare.Verdict(compare.VerdictKind.HOLD, HOSTILE, (measure,)), world.now)
    assert HOSTILE not in page_of(signed_in("emil"), row)


def test_the_moving_part_brings_the_journal_along(world, signed_in, make):
    part = page_of(signed_in("emil"), make(), **{"HX-Request": "true"})
    assert 'id="transition-past"' in part
    assert "data-course" not in part, "charts are drawn in place"


# ---------------------------------------------------------------- what people can do


@pytest.mark.parametrize(
    ("name", "values", "offered"),
    [
        ("emil", {}, ["pause", "skip", "promote"]),
        ("priya", {"step": 2}, ["pause", "skip"]),
        ("ada", {}, ["pause"]),
        ("aron", {}, []),
        ("emil", {"paused_at": True}, ["resume"]),
        ("emil", {"asks_person": True}, ["pause", "continue", "promote"]),
        ("emil", {"step_since": None}, ["pause"]),
        ("emil", {"released": 2}, ["pause"]),
        ("emil", {"step": 3}, []),
        ("emil", {"status": "rolling_back"}, []),
    ],
)
def test_what_is_offered_to_whom(world, signed_in, make, name, values, offered):
    row = make(**{**values, **({"paused_at": world.now} if "paused_at" in values else {})})
    assert buttons(signed_in(name), row) == offered


def test_who_asked_for_it_is_not_offered_what_the_policy_asks_of_others(world, signed_in, make):
    steps = (PlannedStep(5, rollouts.HOUR, asks=Role.ML_ENGINEER), PlannedStep(50), PlannedStep(100))
    row = make(steps=steps, step=0, asks_person=True, requested_by=User.objects.get(username="emil"))
    assert buttons(signed_in("emil"), row) == ["pause"]
    assert "somebody else has to let it go on" in page_of(signed_in("emil"), row)
    assert buttons(signed_in("priya"), row) == ["pause"]
    assert "It takes a ML engineer" in page_of(signed_in("priya"), row)
    assert buttons(signed_in("mia"), row) == ["pause", "continue", "promote"]


def test_a_dialog_says_in_figures_what_will_happen(world, signed_in, make):
    row = make()
    rollouts.judged(row, rollouts.HOLD, world.now)
    page = page_of(signed_in("emil"), row)
    assert "50 % of requests go to 1.1.0 (now 25 %) at once." in page
    assert "This step was to last 2 h; it has lasted 30 min." in page
    assert "It was to answer 500 requests; it has answered 420." in page
    assert "The judge does not say to go on: The data drift of petal_width" in page
    assert "25 % of requests go to 1.1.0, 75 % to 1.0.0." in page


def test_a_good_verdict_raises_no_doubts(world, signed_in, make):
    row = make()
    rollouts.judged(row, rollouts.PROCEED, world.now)
    assert "does not say to go on" not in page_of(signed_in("emil"), row)


@pytest.mark.parametrize(
    ("action", "recorded", "values"),
    [
        ("pause", "rollout_paused", {}),
        ("resume", "rollout_resumed", {"paused": True}),
        ("skip", "rollout_skipped", {}),
        ("promote", "rollout_promoted", {}),
        ("continue", "rollout_let_go_on", {"asks_person": True}),
    ],
)
def test_what_a_button_does(world, signed_in, make, action, recorded, values):
    asks = {"asks_person": values.get("asks_person", False)}
    row = make(**asks, **({"paused_at": world.now, "paused_by_name": "Mia"} if "paused" in values else {}))
    answer = signed_in("emil").post(f"/transitions/{row.pk}/{action}/", {"reason": "I looked at it.", "step": 1})
    assert answer["Location"] == f"/transitions/{row.pk}/"
    entry = AuditEntry.objects.get(action=recorded)
    assert (entry.actor, entry.reason, entry.refused) == ("emil", "I looked at it.", False)


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("emil", {"reason": "Go.", "step": 0}, "moved on"),
        ("emil", {"reason": " ", "step": 1}, "Say why"),
        ("aron", {"reason": "Go.", "step": 1}, "you need the role"),
        ("emil", {"reason": "Go."}, "required"),
    ],
)
def test_a_refusal_changes_nothing_and_says_why(world, signed_in, make, name, body, words):
    row = make()
    answer = signed_in(name).post(f"/transitions/{row.pk}/skip/", body, follow=True)
    assert words in answer.content.decode()
    row.refresh_from_db()
    assert row.released == 0


def test_steering_is_never_done_by_a_link(world, signed_in, make):
    assert signed_in("emil").get(f"/transitions/{make().pk}/skip/").status_code == 405


# ---------------------------------------------------------------- charts


def observe(world, version, count, **values):
    start = world.now - count * 10 * SECOND
    for place in range(count):
        since = start + place * 10 * SECOND
        rollouts.observe(world.version(version), since, since + 10 * SECOND, rollouts.counts(30, 1, **values))


def charts_of(browser, row):
    answer = browser.get(f"/transitions/{row.pk}/charts/")
    assert answer.status_code == 200
    return answer.json()


def test_charts_count_every_request_once_however_often_they_are_asked_for(world, signed_in, make):
    row, emil = make(), signed_in("emil")
    observe(world, 2, 60)
    for more in (0, 7):
        if more:
            world.pass_time(seconds=70)
            observe(world, 2, more)
        course = queries_rollouts.course_of_transition(row, world.now)
        line = next(line for line in course.lines if line.tone == "canary")
        assert sum(point.requests for point in line.points) == 30 * (60 + more)
        assert charts_of(emil, row)["charts"]["errors"]["figure"]["data"]


def test_charts_name_the_steps_and_stop_once_it_is_over(world, signed_in, make):
    row = make()
    rollouts.judged(row, rollouts.HOLD, world.now)
    observe(world, 2, 12)
    found = charts_of(signed_in("aron"), row)
    shown = found["charts"]
    assert (found["ended"], set(shown) >= {"errors", "latency", "requests", "predictions", "feature-0"}) == (
        False,
        True,
    )
    words = {each["text"] for each in shown["errors"]["figure"]["layout"]["annotations"]}
    assert "25 %" in words
    assert "1.1.0: 3.33 % of requests failed last" in shown["errors"]["words"]
    ended = world.now - timedelta(hours=1)
    Transition.objects.update(status="finished", finished_at=ended)
    assert charts_of(signed_in("aron"), row)["ended"] is True


def test_every_chart_says_its_figures_in_words_too(world, signed_in, make):
    row = make()
    rollouts.judged(row, rollouts.HOLD, world.now)
    observe(world, 2, 12, slower=0.5)
    shown = charts_of(signed_in("aron"), row)["charts"]
    assert {name for name, each in shown.items() if each["figure"]} == set(shown)
    assert shown["errors"]["words"].endswith("The limit is 10 %.")
    assert "a second last. Weight: 25 %." in shown["requests"]["words"]
    predicted = "50 % virginica, 33.3 % versicolor, 16.7 % setosa."
    assert shown["predictions"]["words"] == f"1.1.0 last: {predicted}"
    alike = "33.3 % setosa, 33.3 % versicolor, 33.3 % virginica."
    assert shown["distribution"]["words"].startswith(f"1.0.0: {alike} 1.1.0: 36.7 % setosa")
    assert (shown["feature-0"]["name"], "1.0.0: 33.3 % up to 0.5" in shown["feature-0"]["words"]) == (
        "petal_width",
        True,
    )
    assert not [name for name, each in shown.items() if not re.search(r"\d %|\d m?s|\d a second", each["words"])]


def test_a_chart_of_no_errors_says_so(world, signed_in, make):
    row = make()
    start = world.now - 120 * SECOND
    rollouts.observe(world.version(2), start, world.now, rollouts.counts(4200, 0))
    words = charts_of(signed_in("aron"), row)["charts"]["errors"]["words"]
    assert words == "1.1.0: none of 4,200 requests failed. The limit is 10 %."


@pytest.mark.parametrize(("stage", "limit"), [("Staging", 5.0), ("Production", 10.0)])
def test_the_limit_in_a_chart_is_that_of_where_the_version_is_going(world, make, stage, limit):
    assert queries_rollouts.course_of_transition(make(to_stage=stage), world.now).error_limit == limit


def test_charts_are_for_those_who_may_see_the_page(world, signed_in, make, client):
    row = make()
    assert client.get(f"/transitions/{row.pk}/charts/").status_code == 302
    assert signed_in("aron").get("/transitions/999/charts/").status_code == 404


def test_charts_of_days_stay_small_and_old_rows_are_not_cut_up(world, signed_in, make):
    row = make(started_at=world.now - timedelta(days=20))
    start = world.now - timedelta(days=20)
    Observation.objects.bulk_create(
        Observation(
            model=row.model,
            version=row.version,
            since=start + place * timedelta(minutes=5),
            until=start + (place + 1) * timedelta(minutes=5),
            requests=10,
        )
        for place in range(20 * 288)
    )
    course = queries_rollouts.course_of_transition(row, world.now)
    assert len(course.lines[0].points) <= 151
    assert sum(point.requests for point in course.lines[0].points) == 10 * 20 * 288


# ---------------------------------------------------------------- elsewhere


def test_a_version_that_serves_in_staging_shows_what_is_judged_of_it(world, signed_in):
    version, stable = world.version(2), world.version(1)
    since = world.now - timedelta(hours=1)
    Variant.objects.create(model=world.model, version=version, role=VariantRole.STAGING, weight=10)
    about = {"model": world.model, "stable": stable, "since": since}
    rollouts.judged(None, rollouts.PROCEED, world.now, kind=compare.Trial.STAGING, version=version, **about)
    emil = signed_in("emil")
    page = emil.get("/models/iris/versions/2/").content.decode()
    assert "Every measure is inside its limit." in page
    assert "It does well" in page
    observe(world, 2, 6)
    found = emil.get("/models/iris/versions/2/charts/").json()
    assert found["charts"]["errors"]["figure"] is not None
    assert emil.get("/models/iris/versions/1/charts/").status_code == 404
    assert "data-course" not in emil.get("/models/iris/versions/1/").content.decode()


def test_the_page_of_a_model_says_in_short_how_production_does(world, signed_in):
    version = world.version(1)
    Variant.objects.create(model=world.model, version=version, role=VariantRole.PRODUCTION, weight=100)
    measure = compare.Measure(
        "error_rate_absolute",
        "Error rate",
        compare.MeasureState.CLEAR,
        estimate=0.2,
        low=0.1,
        high=0.4,
        limit=10.0,
        unit="%",
        on_breach="emergency",
    )
    verdict = compare.Verdict(compare.VerdictKind.PROCEED, "All is well.", (measure,))
    about = {"model": world.model, "version": version, "since": world.now - timedelta(hours=1)}
    rollouts.judged(None, verdict, world.now, kind=compare.Trial.PRODUCTION, **about)
    page = signed_in("aron").get("/models/iris/").content.decode()
    assert re.search(r"error rate 0\.2 % <span class=\"quiet\">\(at most 10 %\)", page)


@pytest.mark.parametrize(
    ("name", "asks", "is_asked"), [("mia", None, True), ("priya", Role.ML_ENGINEER, False), ("aron", None, False)]
)
def test_a_rollout_that_asks_is_in_the_inbox_of_those_who_can_answer(world, signed_in, make, name, asks, is_asked):
    steps = (PlannedStep(5, rollouts.HOUR, asks=asks), PlannedStep(100))
    row = make(steps=steps, step=0, asks_person=True, waiting_for="Somebody has to look.")
    browser = signed_in(name)
    for address in ("/inbox/", "/"):
        page = browser.get(address).content.decode()
        assert (f'id="asking-{row.pk}"' in page) == is_asked, address
    assert browser.get("/inbox/").context["inbox_count"] == int(is_asked)


def test_how_requests_move_is_chosen_when_it_is_asked_for(world, signed_in):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    emil = signed_in("emil")
    page = emil.get("/models/iris/versions/2/").content.decode()
    assert re.findall(r'name="strategy"\s+value="(\w+)"\s+(checked)?', page) == [
        ("canary", "checked"),
        ("blue_green", ""),
        ("shadow", ""),
    ]
    assert "5 → 25 → 50 → 100 % of requests, over 1 min 10 s or longer" in page
    asked = {"to_stage": "Production", "reason": "Better.", "strategy": "shadow"}
    emil.post("/models/iris/versions/2/request/", asked)
    row = Transition.objects.order_by("-pk")[0]
    assert (row.strategy, row.steps[0]["mirror"]) == (Strategy.SHADOW, 100)
    assert "Users get none of its answers" in page_of(signed_in("mia"), row)


def test_where_nobody_serves_there_is_nothing_to_choose(world, signed_in):
    world.drive(world.approved(1, Stage.STAGING))
    assert 'name="strategy"' not in signed_in("emil").get("/models/iris/versions/1/").content.decode()
