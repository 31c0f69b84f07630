"""Figures and the values behind them, from what checks write down."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plotly import graph_objects as go
from plotly.offline import get_plotlyjs_version

from lifecycle.domain.course import Binned, bin_of, point
from lifecycle.domain.drift import Distribution
from lifecycle.domain.observations import Counts
from lifecycle.domain.policy import ServiceLevels
from lifecycle.models import ModelVersion
from lifecycle.queries_rollouts import Course, Line, Mark
from portal import charts, measurements
from portal.measurements import FeatureDrift, Second

LEVELS = ServiceLevels()
SERIES = [[1, 40, 0, 0.02, 0.03, 4], [2, 90, 1, 0.021, 0.04, 8], [3, 0, 0, None, None, 8]]
SECONDS = measurements.seconds_of({"series": SERIES})
ROOT = Path(__file__).parents[3]
CSS = ROOT / "static" / "css" / "tokens.css"
BUNDLED = {"scatter", "bar", "pie"}
"""The kinds of charts that the basic bundle can draw."""
LIBRARY = ROOT / "static" / "vendor" / "plotly" / "plotly-basic.min.js"


def feature(name="petal_length", distance=0.42, bins=("up to 1", "over 1"), trained=(0.5, 0.5), seen=(0.1, 0.9)):
    return FeatureDrift(name, distance, bins, trained, seen)


def traces(figure):
    return {trace["name"]: trace for trace in figure["data"]}


def test_a_load_test_is_drawn_with_throughput_latency_and_the_limits():
    figure = charts.load_test(SECONDS, LEVELS, ramp=2)
    found = traces(figure)
    assert found["answers"]["y"] == [40, 89, 0]
    assert found["failed"]["y"] == [0, 1, 0]
    assert found["p95"]["y"] == [0.03, 0.04, None]
    limits = {shape["y0"] for shape in figure["layout"]["shapes"] if shape["name"] == charts.LIMIT}
    assert limits == {100.0, 0.5, 1.0}
    assert any(shape["x0"] == shape["x1"] == 2 for shape in figure["layout"]["shapes"])
    words = {each["text"] for each in figure["layout"]["annotations"]}
    assert {"at least 100", "p50 at most 0.5 s", "p95 at most 1 s"} <= words


def test_the_limits_are_those_of_the_policy():
    levels = ServiceLevels(latency_p95=timedelta(milliseconds=250), throughput=7.5)
    words = {each["text"] for each in charts.load_test(SECONDS, levels)["layout"]["annotations"]}
    assert {"at least 7.5", "p95 at most 0.25 s"} <= words


def test_without_failures_no_line_lies_on_the_ground():
    assert "failed" not in traces(charts.load_test([Second(1, 10, 0, 0.1, 0.2, 1)], LEVELS))


@pytest.mark.parametrize(
    "figure", [charts.load_test([], LEVELS), charts.distances([], 0.3), charts.distribution(feature(seen=(1.0,)))]
)
def test_what_was_not_measured_is_not_drawn(figure):
    assert figure is None


def test_features_over_the_limit_stand_out_and_names_that_shorten_alike_stay_apart():
    long = "a" * 60
    figure = charts.distances([feature(f"{long}1", 0.5), feature(f"{long}2", 0.3), feature("low", 0.1)], 0.3)
    found = traces(figure)
    assert found["over the limit"]["y"] == [0]
    assert found["within the limit"]["y"] == [1, 2]
    assert figure["layout"]["yaxis"]["tickvals"] == [0, 1, 2]


def test_a_distribution_is_in_percent_of_the_values():
    found = traces(charts.distribution(feature()))
    assert found["training"]["y"] == [50, 50]
    assert found["requests"]["y"] == [10, 90]


@pytest.mark.parametrize("name", ["<a href='https://evil.example'>x</a>", "<b>x", "&lt;b&gt;"])
def test_names_never_become_markup(name):
    """Plotly reads texts as HTML: links in them would be links."""
    for figure in (charts.distances([feature(name)], 0.3), charts.distribution(feature(bins=(name, "y")))):
        assert "<" not in str(figure["layout"]) + str([trace["customdata"] for trace in figure["data"]])


@pytest.mark.parametrize(
    "figure",
    [charts.load_test(SECONDS, LEVELS, ramp=1), charts.distances([feature()], 0.3), charts.distribution(feature())],
)
def test_every_part_names_a_colour_of_the_style_sheets(figure):
    tokens = set(re.findall(r"--([a-z-]+):", CSS.read_text()))
    layout = figure["layout"]
    named = [trace["meta"] for trace in figure["data"]]
    named += [each["name"] for each in (*layout.get("shapes", []), *layout.get("annotations", []))]
    assert named
    assert set(named) <= tokens


def test_the_library_still_looks_for_what_keeps_its_style_sheets_out():
    """The page's policy forbids them; a version that asks for other names would fill the console with complaints."""
    template = (ROOT / "templates" / "evidence" / "_chart_styles.html").read_text()
    library = LIBRARY.read_text()
    names = re.findall(r'id="([^"]+)"', template)
    assert len(names) == 2
    for name in names:
        assert name.removesuffix("-global") in library, name
    assert ".no-inline-styles" in library


def test_the_browser_draws_with_the_release_that_figures_are_made_for():
    assert f"plotly.js (basic - minified) v{get_plotlyjs_version()}" in LIBRARY.read_text()[:200]


# ---------------------------------------------------------------- what was measured


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("series", "failures", "by_class", "failing", "files", "manifest", "distributions")
READERS = (
    measurements.seconds_of,
    measurements.reasons_of,
    measurements.classes_of,
    measurements.failing_of,
    measurements.files_of,
    measurements.features_of,
    measurements.dump,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), json_values))
def test_whatever_was_written_down_can_be_read(measured):
    for reader in READERS:
        reader(measured)
    figures = [charts.distribution(each) for each in measurements.features_of(measured)]
    assert all(figure is None or figure["data"] for figure in figures)
    charts.load_test(measurements.seconds_of(measured), LEVELS)


def test_the_classes_that_were_not_refused_come_first():
    measured = {"by_class": {"NaN": {"sent": 9, "rejected": 9}, "huge": {"sent": 9, "rejected": 2}}}
    assert [(each.name, each.missed) for each in measurements.classes_of(measured)] == [("huge", 7), ("NaN", 0)]


def test_a_file_has_the_digest_of_the_manifest():
    row = {"path": "MLmodel", "size": 3, "format": "MLmodel", "verdict": "passed", "why": ""}
    found = measurements.files_of({"files": [row, {**row, "path": "x.py"}], "manifest": {"MLmodel": "ab"}})
    assert [each.sha256 for each in found] == ["ab", ""]


@pytest.mark.parametrize(
    ("edges", "bins"),
    [
        ((), ()),
        ((1.0,), ("up to 1", "over 1")),
        ((0.5, 1500.0), ("up to 0.5", "0.5 to 1,500", "over 1,500")),
    ],
)
def test_bins_in_words(edges, bins):
    assert measurements.bins_between(edges) == bins


def test_a_dump_is_bounded():
    assert len(measurements.dump({"x": "y" * 10**6})) < 21_000


# ---------------------------------------------------------------- the course of a rollout

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CLASSES = ("setosa", "<b>virginica</b>")


def points(*minutes, errors=1, requests=100):
    """A point at each of these minutes."""
    seen = Counts(
        requests=requests,
        errors=errors,
        latency=Distribution((1.0, 8.0, 1.0), edges=(0.05, 0.1)),
        prediction=Distribution((3.0, 1.0), categories=CLASSES),
    )
    return tuple(point(bin_of(NOON + each * MINUTE, MINUTE), MINUTE, Binned(seen, 60.0)) for each in minutes)


def course(*, marks=(), shares=((NOON, 5),), canary=(1, 2, 3), stable=(1, 2, 3), label="1.1.0", classes=CLASSES):
    lines = (
        Line(ModelVersion(tags={"semantic_version": label}), "canary", points(*canary, errors=4), classes),
        Line(ModelVersion(tags={"semantic_version": "1.0.0"}), "stable", points(*stable), classes),
    )
    return Course(MINUTE, lines, marks, shares)


MARKS = (
    Mark(NOON + 1 * MINUTE, "5 %", "step"),
    Mark(NOON + 1 * MINUTE, "wait", "verdict"),
    Mark(NOON + 3 * MINUTE, "go on", "verdict"),
)
DRAWN = (charts.errors, charts.latency, charts.requests, charts.predictions)


def test_errors_are_drawn_with_their_intervals():
    found = traces(charts.errors(course()))
    assert found["1.1.0"]["y"] == [4.0, 4.0, 4.0]
    bands = [trace for trace in charts.errors(course())["data"] if trace.get("fill") == "toself"]
    assert [len(band["y"]) for band in bands] == [6, 6]
    assert min(bands[0]["y"]) < 4.0 < max(bands[0]["y"])


def without_errors(**values):
    line = Line(ModelVersion(tags={"semantic_version": "1.1.0"}), "canary", points(1, 2, 3, errors=0))
    return Course(MINUTE, (line,), (), **values)


def test_without_errors_the_line_lies_at_the_foot_of_an_axis_that_goes_up_to_the_limit():
    """Not a shade that fills a chart of nothing: the interval of 100 requests reaches up to 3.7 %."""
    figure = charts.errors(without_errors(error_limit=10.0))
    low, high = figure["layout"]["yaxis"]["range"]
    assert (low, high) == (-0.25, 12.5)
    (limit,) = (shape for shape in figure["layout"]["shapes"] if shape["name"] == charts.LIMIT)
    assert (limit["y0"], limit["y1"]) == (10.0, 10.0)
    assert "at most 10 %" in {each["text"] for each in figure["layout"]["annotations"]}
    assert traces(figure)["1.1.0"]["y"] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("limit", "errors", "top"), [(10.0, 30, 60.0), (10.0, 80, 100.0), (5.0, 1, 6.25), (0.0, 0, 1.0)]
)
def test_the_axis_of_errors_shows_every_rate_and_the_limit(limit, errors, top):
    line = Line(ModelVersion(tags={"semantic_version": "1.1.0"}), "canary", points(1, 2, 3, errors=errors))
    figure = charts.errors(Course(MINUTE, (line,), (), error_limit=limit))
    assert figure["layout"]["yaxis"]["range"][1] == top


def test_where_no_limit_is_known_none_is_drawn():
    assert "shapes" not in charts.errors(without_errors())["layout"]


def test_latency_has_three_lines_a_version():
    assert set(traces(charts.latency(course()))) == {
        f"{label} {name}" for label in ("1.0.0", "1.1.0") for name in ("p50", "p95", "p99")
    }


def test_no_line_is_drawn_over_what_nobody_counted():
    assert traces(charts.errors(course(stable=(1, 2, 30, 31))))["1.0.0"]["y"] == [1.0, 1.0, None, 1.0, 1.0]


def test_requests_come_with_the_weight_unless_there_never_was_any():
    assert "weight" in traces(charts.requests(course(shares=((NOON, 5), (NOON + MINUTE, 25)))))
    assert "weight" not in traces(charts.requests(course(shares=((NOON, 0),))))


def test_what_happened_stands_on_the_time_axis_and_names_have_room():
    figure = charts.errors(course(marks=MARKS))
    assert len(figure["layout"]["shapes"]) == 3
    assert [each["text"] for each in figure["layout"]["annotations"]] == ["5 %", "go on"]


@pytest.mark.parametrize("draw", DRAWN)
def test_a_course_without_points_is_not_drawn(draw):
    assert draw(course(canary=(), stable=(), classes=())) is None


@pytest.mark.parametrize("draw", DRAWN)
def test_every_part_of_a_course_names_a_colour_and_no_markup(draw):
    figure = draw(course(marks=MARKS, label="<a href='https://evil.example'>x</a>"))
    tokens = set(re.findall(r"--([a-z-]+):", CSS.read_text()))
    assert {trace["meta"] for trace in figure["data"]} <= tokens
    assert {each["name"] for each in figure["layout"].get("annotations", [])} <= tokens
    texts = [trace[key] for trace in figure["data"] for key in ("name", "hovertemplate") if key in trace]
    assert not [text for text in texts if "<" in text.replace("<extra></extra>", "")]


@pytest.mark.parametrize(
    "figure",
    [
        charts.load_test(SECONDS, LEVELS, ramp=1),
        charts.distances([feature()], 0.3),
        charts.distribution(feature()),
        *(draw(course(marks=MARKS, shares=((NOON, 5), (NOON + MINUTE, 25)))) for draw in DRAWN),
    ],
)
def test_plotly_knows_every_value_of_a_figure(figure):
    """Its own classes refuse what the library's schema has not, and drop nothing of what it has."""
    checked = go.Figure(figure).to_plotly_json()
    assert [trace["type"] for trace in checked["data"]] == [trace["type"] for trace in figure["data"]]
    assert set(figure["layout"]) <= set(checked["layout"])
    assert {trace["type"] for trace in figure["data"]} <= BUNDLED


@pytest.mark.parametrize("draw", DRAWN)
def test_a_look_at_a_part_survives_new_points(draw):
    layout = draw(course())["layout"]
    assert layout["uirevision"]
    assert layout["xaxis"]["fixedrange"] is False
    assert layout["yaxis"]["fixedrange"] is True


def test_times_are_those_of_the_viewer():
    local = charts.in_zone(course(marks=MARKS), ZoneInfo("Europe/Berlin"))
    assert charts.errors(local)["layout"]["shapes"][0]["x0"].startswith("2026-03-01T13:01:00")


def test_distributions_side_by_side():
    left, right = Distribution((3.0, 1.0), categories=("a", "b")), Distribution((4.0,), categories=("b",))
    found = traces(charts.side_by_side((("1.0.0", "stable", left), ("1.1.0", "canary", right))))
    assert (found["1.0.0"]["y"], found["1.1.0"]["y"]) == ([75, 25], [0, 100])


@pytest.mark.parametrize(
    "other", [Distribution((1.0, 2.0), edges=(1.0,)), Distribution((1.0, 1.0, 1.0), edges=(0.5, 1.0))]
)
def test_distributions_in_other_bins_are_not_laid_over_each_other(other):
    first = Distribution((1.0, 2.0), edges=(2.0,))
    assert charts.side_by_side((("a", "stable", first), ("b", "canary", other))) is None
    assert charts.side_by_side((("a", "stable", None), ("b", "canary", Distribution(())))) is None
