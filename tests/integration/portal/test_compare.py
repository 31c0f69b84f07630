"""Any two versions side by side: the page and the API."""

from datetime import timedelta

import pytest

from lifecycle import mirror
from lifecycle.domain import compare
from lifecycle.domain.stages import Stage
from lifecycle.models import ModelVersion, Observation, Trial
from lifecycle.queries_compare import usual_pair

HOSTILE = "<img src=x onerror=alert(1)>\u202e"
INPUTS = [{"name": "a", "type": "double", "required": True}]
OUTPUTS = [{"type": "long", "required": True}]


def signature(*more):
    return {"inputs": [*INPUTS, *more], "outputs": OUTPUTS}


def facts(world, number, **values):
    ModelVersion.objects.filter(model__name="iris", version=number).update(**values)


@pytest.fixture
def measured(world):
    """1.0.0 and 1.1.0 with metrics, parameters and signatures that differ; 1.1.0 is on trial beside 1.0.0."""
    facts(
        world,
        1,
        metrics={"f1": 0.9, "rmse": "NaN", "auc": 0.8, "gone": 1},
        params={"depth": "3", "seed": "7", "config": "x" * 9_000 + "old"},
        signature=signature(),
    )
    facts(
        world,
        2,
        metrics={"f1": 0.8, "rmse": 1.5, "auc": 0.8, "new": "Infinity"},
        params={"depth": "4", "seed": "7", "config": "x" * 9_000 + "new"},
        signature=signature({"name": "b", "type": "double", "required": False}),
    )
    return world


def on_trial(world, version=2, stable=1):
    measure = compare.Measure(
        name="error_rate",
        label="Error rate",
        state=compare.MeasureState.BREACHED,
        estimate=4.5,
        low=2.6,
        high=6.4,
        limit=2.0,
        unit="points",
        on_breach="roll_back",
        why="The error rate is 4.5 points higher.",
    )
    verdict = compare.Verdict(compare.VerdictKind.ROLL_BACK, "Its error rate is clearly too high.", (measure,))
    return Trial.objects.create(
        model=world.model,
        version=world.version(version),
        stable=world.version(stable),
        kind="staging",
        weight=10,
        since=world.now - timedelta(hours=1),
        seen_until=world.now,
        looks=3,
        verdict=compare.dump(verdict),
        judged_at=world.now,
    )


def page(browser, query="?a=1&b=2", status=200):
    response = browser.get(f"/models/iris/compare/{query}")
    assert response.status_code == status
    return response.content.decode()


# ---------------------------------------------------------------- which two


@pytest.mark.parametrize(
    ("query", "pair"),
    [("", (2, 3)), ("?a=1", (1, 3)), ("?b=1", (2, 1)), ("?b=2", (3, 2)), ("?a=3&b=1", (3, 1)), ("?a=&b=", (2, 3))],
)
def test_what_is_not_said_is_the_usual(world, signed_in, query, pair):
    found = signed_in("aron").get(f"/models/iris/compare/{query}").context["comparison"]
    assert (found.first.version, found.second.version) == pair


def test_usually_what_serves_is_compared_with_what_is_beside_it(world):
    assert usual_pair(world.model) == (2, 3)
    world.in_production(1)
    assert usual_pair(world.model) == (1, 3)
    world.drive(world.approved(2, Stage.STAGING))
    assert usual_pair(world.model) == (1, 2)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("?a=2&b=2", 400, "Choose two different versions"),
        ("?a=2&b=99", 404, "no version 99"),
        ("?a=0&b=1", 404, "no version 0"),
        ("?a=one&b=2", 400, "by MLflow's number"),
        ("?a=-1&b=2", 400, "by MLflow's number"),
        ("?a=²&b=2", 400, "by MLflow's number"),
        ("?a=99999999999999999999&b=2", 400, "by MLflow's number"),
    ],
)
def test_a_wrong_address_says_what_is_wrong_and_offers_the_versions(world, signed_in, query, status, words):
    shown = page(signed_in("aron"), query, status).replace("&#x27;", "'")
    assert words in shown
    assert shown.count('<option value="2"') == 2


def test_a_model_with_one_version_has_nothing_to_compare(world, signed_in):
    world.registry.add_version("alone")
    mirror.full_pass(world.registry, world.now)
    response = signed_in("aron").get("/models/alone/compare/")
    assert response.status_code == 404
    assert b"only one version" in response.content


# ---------------------------------------------------------------- side by side


def test_metrics_parameters_and_schema_side_by_side(measured, signed_in):
    shown = page(signed_in("aron"))
    for words in (
        "worse",
        "only <bdi>1.1.0</bdi>",
        "only <bdi>1.0.0</bdi>",
        "\u22120.1 (\u221211.11 %)",
        "not a number",
    ):
        assert words in shown
    assert "2 of 3 differ" in shown
    assert "MINOR" in shown
    assert "as 1.0.0 → 1.1.0 says" in shown


def test_only_what_differs(measured, signed_in):
    browser = signed_in("aron")
    assert ">seed<" in page(browser)
    only = page(browser, "?a=1&b=2&only=differences")
    assert ">seed<" not in only
    assert ">auc<" not in only
    assert ">depth<" in only
    assert "Show everything" in only


def test_a_long_value_is_cut_where_it_differs_and_shown_in_full_elsewhere(measured, signed_in):
    browser = signed_in("aron")
    shown = page(browser)
    assert len(shown) < 60_000
    assert "xxxold" in shown
    assert "xxxnew" in shown
    whole = browser.get("/models/iris/compare/params/?a=1&b=2&name=config").content.decode()
    assert "x" * 9_000 + "old" in whole
    assert "x" * 9_000 + "new" in whole


@pytest.mark.parametrize("address", ["params/?a=1&b=2&name=nothing", "model/?a=1&b=2&name=x", "params/?a=1&b=2"])
def test_a_value_that_is_not_there(measured, signed_in, address):
    assert signed_in("aron").get(f"/models/iris/compare/{address}").status_code == 404


def test_markup_from_the_registry_stays_text(world, signed_in):
    facts(world, 1, metrics={HOSTILE: 1.0}, params={HOSTILE: HOSTILE}, tags={HOSTILE: HOSTILE}, run_name=HOSTILE)
    facts(world, 2, flavors=[HOSTILE], run_tags={HOSTILE: HOSTILE * 50}, run_id="r", run_name=HOSTILE)
    browser = signed_in("aron")
    shown = page(browser)
    assert "<img" not in shown
    assert "<bdi>&lt;img" in shown
    response = browser.get("/models/iris/compare/params/", {"a": 1, "b": 2, "name": HOSTILE})
    assert response.status_code == 200
    assert b"<img" not in response.content


def test_neither_size_nor_content_makes_more_queries(world, signed_in, django_assert_max_num_queries):
    many = {f"name-{number}": str(number) for number in range(2_000)}
    facts(world, 1, params=many, run_tags=many, metrics=dict.fromkeys(many, 1.0))
    facts(world, 2, params=many, run_tags=many, metrics=dict.fromkeys(many, 2.0))
    browser = signed_in("aron")
    with django_assert_max_num_queries(22):
        shown = page(browser)
    assert shown.count("<tr") < 1_600


# ---------------------------------------------------------------- live


def test_without_a_trial_the_page_says_why(measured, signed_in):
    browser = signed_in("aron")
    assert "Neither version has answered a request yet" in page(browser)
    seen = {"model": measured.model, "since": measured.now, "until": measured.now, "requests": 5}
    Observation.objects.create(version=measured.version(1), **seen)
    assert "1.1.0 has not answered a request yet" in page(browser)
    Observation.objects.create(version=measured.version(2), **seen)
    assert "never side by side" in page(browser)


@pytest.mark.parametrize("query", ["?a=1&b=2", "?a=2&b=1"])
def test_what_was_measured_on_trial(measured, signed_in, query):
    on_trial(measured)
    shown = page(signed_in("aron"), query)
    assert "Its error rate is clearly too high." in shown
    assert "<bdi>1.1.0</bdi> was measured against <bdi>1.0.0</bdi>" in shown
    assert "Breached" in shown


# ---------------------------------------------------------------- the API


def test_the_comparison_as_json(measured, signed_in):
    on_trial(measured)
    found = signed_in("aron").get("/api/v1/models/iris/compare/?stable=1&canary=2").json()
    assert (found["stable"]["version"], found["canary"]["version"]) == (1, 2)
    assert found["live"]["verdict"] == "roll_back"
    (measure,) = found["live"]["measures"]
    assert {name: measure[name] for name in ("name", "state", "estimate", "low", "high", "limit", "unit")} == {
        "name": "error_rate",
        "state": "breached",
        "estimate": 4.5,
        "low": 2.6,
        "high": 6.4,
        "limit": 2.0,
        "unit": "points",
    }
    metrics = {line["name"]: line for line in found["metrics"]}
    assert (metrics["f1"]["outcome"], metrics["new"]["outcome"]) == ("worse", "only_canary")
    assert (metrics["rmse"]["stable"], metrics["new"]["canary"]) == ("NaN", "Infinity")
    assert [line["name"] for line in found["params"]] == ["config", "depth"]
    assert found["schema"]["requires"] == "MINOR"


def test_live_is_null_without_a_trial(measured, signed_in):
    assert signed_in("aron").get("/api/v1/models/iris/compare/").json()["live"] is None


@pytest.mark.parametrize(
    ("address", "status", "rule"),
    [
        ("iris/compare/?stable=1&canary=1", 400, "same_version"),
        ("iris/compare/?stable=1&canary=9", 404, "not_found"),
        ("iris/compare/?stable=x&canary=1", 400, "invalid"),
        ("none/compare/", 404, "not_found"),
    ],
)
def test_a_bad_question_is_a_problem_that_names_its_rule(world, signed_in, address, status, rule):
    response = signed_in("aron").get(f"/api/v1/models/{address}")
    assert response["Content-Type"] == "application/problem+json"
    assert (response.status_code, response.json()["type"]) == (status, f"urn:stagegate:{rule}")
