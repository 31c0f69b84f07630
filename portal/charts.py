"""Rows as Plotly figures: pure functions. A figure is JSON; the page's script draws it in the colours of the theme.

A trace says in ``meta``, a shape and an annotation in ``name``, which colour of the style sheets it wants.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from operator import attrgetter
from typing import Any

from lifecycle.domain.course import Point
from lifecycle.domain.drift import Distribution
from lifecycle.domain.policy import ServiceLevels
from lifecycle.domain.words import figure as in_figures
from lifecycle.metric_history import Course as MetricCourse
from lifecycle.queries_rollouts import Course, Line, Mark
from portal.measurements import FeatureDrift, Second, bins_between
from portal.plots import Plot

Figure = dict[str, Any]

STABLE, CANARY, LIMIT, SOFT, MARK = "stable", "canary", "failed", "ink-soft", "line-strong"
"""Colours: tokens of static/css/tokens.css."""

LONGEST_NAME = 40
MOST_BARS = 25
_HEIGHT = 460
_LEGEND = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left", "itemclick": False}
_BAR_HEIGHT = 26
_COURSE_HEIGHT = 300
_BEYOND_LIMIT = 1.25
"""How far up an axis goes, as a multiple of the limit that is drawn on it."""
_BELOW_NOTHING = 0.02
"""How far down, as a part of how far up: a line that lies on 0 is seen whole."""
_NARROWEST_MARK = 0.12
"""How near two names of moments may stand, as a part of the axis; of nearer ones the later is shown."""
_MOST_TIMES = 4
"""So many times of day stand beside each other below a chart on a phone."""


def load_test(seconds: Sequence[Second], levels: ServiceLevels, *, ramp: float = 0) -> Figure | None:
    """Throughput above, latency below, over the seconds of the test, with the policy's limits as lines.

    ``ramp`` is how many seconds it took until all users were there. None when nothing was measured.
    """
    if not seconds:
        return None
    at = [second.at for second in seconds]
    titles = ("Answers a second", "Latency in seconds")
    drawn = Plot(rows=2, spacing=0.14, titles=titles)
    _line(drawn, 1, "answers", at, [second.answered for second in seconds], STABLE)
    if any(second.failed for second in seconds):
        _line(drawn, 1, "failed", at, [second.failed for second in seconds], LIMIT, dash="dot")
    _line(drawn, 2, "p50", at, [second.p50 for second in seconds], STABLE)
    _line(drawn, 2, "p95", at, [second.p95 for second in seconds], CANARY)
    _limit(drawn, levels.throughput, f"at least {in_figures(levels.throughput)}", row=1)
    p50, p95 = levels.latency_p50.total_seconds(), levels.latency_p95.total_seconds()
    _limit(drawn, p50, f"p50 at most {in_figures(p50)} s", row=2)
    _limit(drawn, p95, f"p95 at most {in_figures(p95)} s", row=2)
    if ramp > 0:
        drawn.add_vline(x=ramp, line={"dash": "dot", "width": 1.5}, name=SOFT)
    drawn.update_xaxes(title_text="Seconds since the first user", row=2)
    drawn.update_yaxes(rangemode="tozero")
    # Each half has its title at its left, and its legend at its right.
    drawn.update_annotations(selector={"showarrow": False, "xref": "paper"}, x=0, xanchor="left")
    drawn.update_traces(legend="legend2", row=2)
    beside = {**_LEGEND, "x": 1, "xanchor": "right"}
    lower = {**beside, "y": drawn.top_of(2)}
    return _finished(drawn, height=_HEIGHT, legend=beside, legend2=lower)


def distances(features: Sequence[FeatureDrift], limit: float) -> Figure | None:
    """One bar a feature, the farthest first, with the policy's limit as a line. None without features."""
    shown = list(features[:MOST_BARS])
    if not shown:
        return None
    drawn = Plot()
    for colour, name, over in ((STABLE, "within the limit", False), (LIMIT, "over the limit", True)):
        part = [(place, each) for place, each in enumerate(shown) if (each.distance > limit) == over]
        if part:
            drawn.add_bar(
                x=[each.distance for _, each in part],
                y=[place for place, _ in part],
                customdata=[_plain(each.name) for _, each in part],
                orientation="h",
                name=name,
                meta=colour,
                hovertemplate="%{customdata}: %{x:.3f}<extra></extra>",
            )
    drawn.add_vline(x=limit, line={"dash": "dash", "width": 2}, name=LIMIT)
    drawn.add_annotation(
        x=limit, y=1, yref="paper", yanchor="bottom", text=f"at most {in_figures(limit)}", showarrow=False, name=LIMIT
    )
    drawn.update_yaxes(**_named([each.name for each in shown]), autorange="reversed")
    drawn.update_xaxes(rangemode="tozero", title_text="Distance from the training data")
    return _finished(drawn, height=150 + _BAR_HEIGHT * len(shown), barmode="overlay", showlegend=False)


def distribution(feature: FeatureDrift) -> Figure | None:
    """How a feature was distributed in training and in requests. None when the two cannot be laid over each other."""
    if not feature.table:
        return None
    drawn = Plot()
    for name, colour, shares in (("training", STABLE, feature.trained), ("requests", CANARY, feature.seen)):
        drawn.add_bar(
            x=list(range(len(feature.bins))),
            y=[100 * share for share in shares],
            customdata=[_plain(each) for each in feature.bins],
            name=name,
            meta=colour,
            hovertemplate=f"{name}, %{{customdata}}: %{{y:.1f}} %<extra></extra>",
        )
    drawn.update_xaxes(**_named(feature.bins))
    drawn.update_yaxes(title_text="% of values", rangemode="tozero")
    return _finished(drawn, height=320, barmode="group")


# ---------------------------------------------------------------- the course of a rollout


def in_zone(course: Course, zone: tzinfo) -> Course:
    """The same with all times as clocks in that zone show them: Plotly knows no zones."""

    def local(at: datetime) -> datetime:
        return at.astimezone(zone).replace(tzinfo=None)

    return replace(
        course,
        lines=tuple(
            replace(line, points=tuple(replace(point, at=local(point.at)) for point in line.points))
            for line in course.lines
        ),
        marks=tuple(replace(mark, at=local(mark.at)) for mark in course.marks),
        shares=tuple((local(at), weight) for at, weight in course.shares),
    )


def errors(course: Course) -> Figure | None:
    """Errors per 100 requests of each version, with the interval of every bin, and the limit. None when nobody
    answered."""
    drawn = Plot()
    for line in course.lines:
        pieces = _unbroken([point for point in line.points if point.error_rate is not None], course.width)
        _band(drawn, line, pieces)
        _over_time(drawn, line, pieces, lambda point: point.error_rate, hover="%{y:.2f} %")
    drawn.update_yaxes(title_text="% of requests", rangemode="tozero")
    if course.error_limit is not None and drawn.data:
        _limit(drawn, course.error_limit, f"at most {in_figures(course.error_limit)} %")
    return _course(drawn, course, headroom=_usual(course))


def _usual(course: Course) -> float | None:
    """How far up the axis has to go to show every rate and the limit; the first intervals, of a few requests, reach
    far beyond."""
    rates = [point.error_rate for line in course.lines for point in line.points if point.error_rate is not None]
    return min(max(2 * max(rates), _BEYOND_LIMIT * (course.error_limit or 0.0), 1.0), 100.0) if rates else None


def latency(course: Course) -> Figure | None:
    """p50, p95 and p99 of each version. None when nothing was measured."""
    drawn = Plot()
    for line in course.lines:
        for name, dash in (("p50", "dot"), ("p95", "solid"), ("p99", "dash")):
            value = attrgetter(name)
            pieces = _unbroken([point for point in line.points if value(point) is not None], course.width)
            _over_time(drawn, line, pieces, value, hover="%{y:.3g} s", dash=dash, suffix=name)
    drawn.update_yaxes(title_text="Seconds", rangemode="tozero")
    return _course(drawn, course)


def requests(course: Course) -> Figure | None:
    """Requests a second of each version, and below them the weight of the one on trial. None without any."""
    rows = 2 if any(weight for _, weight in course.shares) else 1
    drawn = Plot(rows=rows, spacing=0.12, heights=[0.7, 0.3][:rows])
    for line in course.lines:
        _over_time(drawn, line, _unbroken(line.points, course.width), lambda point: point.rate, hover="%{y:.1f}/s")
    drawn.update_yaxes(title_text="Requests/s", rangemode="tozero", row=1)
    if rows > 1 and drawn.data:
        _weights(drawn, course)
    return _course(drawn, course)


def _weights(drawn: Plot, course: Course) -> None:
    last = max((point.at for line in course.lines for point in line.points), default=course.shares[-1][0])
    steps = [*course.shares, (max(last, course.shares[-1][0]), course.shares[-1][1])]
    drawn.add_scatter(
        x=[at for at, _ in steps],
        y=[weight for _, weight in steps],
        name="weight",
        mode="lines",
        line={"shape": "hv", "width": 2},
        fill="tozeroy",
        fillcolor="rgba(0,0,0,0.15)",
        meta=CANARY,
        hovertemplate="%{y} % of requests<extra></extra>",
        showlegend=False,
        row=2,
    )
    drawn.update_yaxes(title_text="Weight", ticksuffix=" %", range=[0, 105], tickvals=[0, 50, 100], row=2)


def predictions(course: Course) -> Figure | None:
    """Which part of the predictions fell into each class, one half a version. None where there are no classes."""
    lines = [line for line in course.lines if line.classes]
    if not lines:
        return None
    names = list(dict.fromkeys(name for line in lines for name in line.classes))
    titles = [_plain(line.version.label) for line in lines]
    drawn = Plot(rows=len(lines), spacing=0.16, titles=titles)
    for row, line in enumerate(lines, start=1):
        for place, name in enumerate(names):
            _part(drawn, row, line, name, alpha=0.85 - 0.65 * place / max(len(names) - 1, 1))
    drawn.update_yaxes(range=[0, 100], title_text="% of answers")
    drawn.update_annotations(x=0, xanchor="left")
    return _course(drawn, course, height=_COURSE_HEIGHT + 80, lift=20, showlegend=False)


def _part(drawn: Plot, row: int, line: Line, name: str, *, alpha: float) -> None:
    seen = [(point.at, point.prediction) for point in line.points if point.prediction and point.prediction.total]
    shares = [dict(zip(counts.categories, counts.shares, strict=True)) for _, counts in seen]
    drawn.add_scatter(
        x=[at for at, _ in seen],
        y=[_short(100 * share.get(name, 0.0)) for share in shares],
        name=_plain(name),
        mode="lines",
        line={"width": 1},
        stackgroup=str(row),
        fillcolor=f"rgba(0,0,0,{alpha:.2f})",
        meta=line.tone,
        hovertemplate=f"{_plain(name)}: %{{y:.1f}} %<extra></extra>",
        row=row,
    )


def side_by_side(parts: Sequence[tuple[str, str, Distribution | None]]) -> Figure | None:
    """Distributions over the same bins or classes as bars beside each other: a name, a colour and the counts of each.

    None when there are not at least one with values, or when they have different bins.
    """
    given = [(name, tone, counts) for name, tone, counts in parts if counts is not None and counts.total]
    if not given or len({(each.edges, bool(each.categories)) for _, _, each in given}) > 1:
        return None
    bins = _bins([each for _, _, each in given])
    drawn = Plot()
    for name, tone, counts in given:
        shares = dict(zip(names_of(counts), counts.shares, strict=True))
        drawn.add_bar(
            x=list(range(len(bins))),
            y=[100 * shares.get(each, 0.0) for each in bins],
            customdata=[_plain(each) for each in bins],
            name=_plain(name),
            meta=tone,
            hovertemplate=f"{_plain(name)}, %{{customdata}}: %{{y:.1f}} %<extra></extra>",
        )
    drawn.update_xaxes(**_named(bins))
    drawn.update_yaxes(title_text="% of all", rangemode="tozero")
    return _finished(drawn, height=_COURSE_HEIGHT, barmode="group")


def names_of(counts: Distribution) -> tuple[str, ...]:
    """What each of its counts is of: a class, or a range of values."""
    return counts.categories or bins_between(counts.edges)


def _bins(given: Sequence[Distribution]) -> list[str]:
    """All bins in order; of classes the most frequent."""
    if given[0].edges:
        return list(bins_between(given[0].edges))
    totals: dict[str, float] = {}
    for counts in given:
        for name, share in zip(counts.categories, counts.shares, strict=True):
            totals[name] = totals.get(name, 0.0) + share
    return sorted(sorted(totals, key=lambda name: -totals[name])[:MOST_BARS])


Piece = list[Point]
Value = Callable[[Point], float | None]


def _unbroken(points: Iterable[Point], width: timedelta) -> list[Piece]:
    """The points, cut where nothing was counted for a while: no line is drawn over what nobody knows."""
    pieces: list[Piece] = []
    for point in points:
        longest = max(4 * width, timedelta(seconds=45))
        if not pieces or point.at - pieces[-1][-1].at > longest:
            pieces.append([])
        pieces[-1].append(point)
    return pieces


def _over_time(
    drawn: Plot,
    line: Line,
    pieces: Sequence[Piece],
    value: Value,
    *,
    hover: str,
    dash: str = "solid",
    suffix: str = "",
) -> None:
    if not pieces:
        return
    name = f"{_plain(line.version.label)} {suffix}".rstrip()
    alone = all(len(piece) == 1 for piece in pieces)
    drawn.add_scatter(
        x=list(_joined([point.at for point in piece] for piece in pieces)),
        y=list(_joined([_short(value(point)) for point in piece] for piece in pieces)),
        name=name,
        mode="markers" if alone else "lines",
        line={"width": 1.5 if dash != "solid" else 2.25, "dash": dash},
        meta=line.tone,
        hovertemplate=f"{name}: {hover}<extra></extra>",
    )


def _short(value: float | None) -> float | None:
    """As many digits as a line can show: figures travel every few seconds."""
    return None if value is None else float(f"{value:.4g}")


def _joined(pieces: Iterable[list[Any]]) -> Iterator[Any]:
    for number, piece in enumerate(pieces):
        yield from ([None] if number else [])
        yield from piece


def _band(drawn: Plot, line: Line, pieces: Sequence[Piece]) -> None:
    """The interval of each bin: one outline a piece, there along its upper side and back along its lower one."""
    if not pieces:
        return
    around = [[*piece, *reversed(piece)] for piece in pieces]
    heights = [
        [_short(point.high) for point in piece] + [_short(point.low) for point in reversed(piece)] for piece in pieces
    ]
    drawn.add_scatter(
        x=list(_joined([point.at for point in piece] for piece in around)),
        y=list(_joined(heights)),
        name=f"{_plain(line.version.label)} interval",
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor="rgba(0,0,0,0.16)",
        meta=line.tone,
        hoverinfo="skip",
        showlegend=False,
    )


def _course(
    drawn: Plot,
    course: Course,
    *,
    height: int = _COURSE_HEIGHT,
    headroom: float | None = None,
    lift: int = 0,
    **layout: Any,
) -> Figure | None:
    """A chart over time: what happened stands on it as named lines, and a look at a part of it survives new points."""
    times = [point.at for line in course.lines for point in line.points]
    if not drawn.data or not times:
        return None
    first, last = min(times), max(times)
    for mark in course.marks:
        drawn.add_vline(x=mark.at, line={"dash": _DASHES[mark.kind], "width": 1}, name=MARK)
    for mark in _apart(course.marks, first, last):
        drawn.add_annotation(
            x=mark.at,
            y=1,
            yref="paper",
            yanchor="bottom",
            yshift=lift,
            xanchor="left",
            text=_plain(mark.words),
            showarrow=False,
            name=SOFT,
        )
    figure = _finished(drawn, height=height, uirevision="course", hovermode="x unified", **layout)
    for name, axis in figure["layout"].items():
        if name.startswith("xaxis"):
            # Aslant, the date below the first time would lie on the legend.
            axis |= {"fixedrange": False, "tickangle": 0, "nticks": _MOST_TIMES}
        if name.startswith("yaxis") and headroom is not None:
            axis["range"] = [-_BELOW_NOTHING * headroom, headroom]
    figure["layout"] |= {
        "dragmode": "zoom",
        "legend": _LEGEND_BELOW,
        "margin": {"l": 56, "r": 16, "t": 28 + lift, "b": 72},
    }
    return figure


_DASHES = {"step": "solid", "person": "dash", "verdict": "dot"}
"""How the line of a moment is drawn, those that go first in naming first."""
_LEGEND_BELOW = {**_LEGEND, "y": -0.18, "yanchor": "top"}


def _apart(marks: Sequence[Mark], first: datetime, last: datetime) -> list[Mark]:
    """The moments whose names have room: steps go first, then what people did, then verdicts; of each the latest."""
    room = max((last - first) * _NARROWEST_MARK, timedelta(seconds=1))
    shown: list[Mark] = []
    latest_first = sorted(marks, key=attrgetter("at"), reverse=True)
    for mark in sorted(latest_first, key=lambda each: list(_DASHES).index(each.kind)):
        if all(abs(mark.at - each.at) >= room for each in shown):
            shown.append(mark)
    return shown


# ---------------------------------------------------------------- a metric through the versions of a model


def metric(course: MetricCourse) -> Figure | None:
    """A metric of each version, oldest first. None where fewer than two have a number."""
    values = [line.second if line else None for line in course.lines]
    values = [value if value is not None and math.isfinite(value) else None for value in values]
    if sum(value is not None for value in values) < 2:
        return None
    labels = [each.label for each in course.versions]
    drawn = Plot()
    drawn.add_scatter(
        x=list(range(len(values))),
        y=values,
        customdata=[_plain(each) for each in labels],
        mode="lines+markers",
        line={"width": 2},
        marker={"size": 7},
        meta=STABLE,
        hovertemplate="%{customdata}: %{y:.6g}<extra></extra>",
    )
    for place, each in enumerate(course.versions):
        if each.in_production:
            drawn.add_vline(x=place, line={"dash": "dash", "width": 1}, name=MARK)
            drawn.add_annotation(x=place, y=1, yref="paper", yanchor="bottom", text="in Production", showarrow=False)
    drawn.update_xaxes(**_named(labels), nticks=0)
    drawn.update_yaxes(title_text=_plain(course.name))
    return _finished(drawn, height=_COURSE_HEIGHT, showlegend=False)


# ---------------------------------------------------------------- what they have in common


def _line(
    drawn: Plot, row: int, name: str, at: list[float], values: list[Any], colour: str, dash: str = "solid"
) -> None:
    drawn.add_scatter(x=at, y=values, name=name, mode="lines", line={"width": 2, "dash": dash}, meta=colour, row=row)


def _limit(drawn: Plot, value: float, words: str, *, row: int = 1) -> None:
    """``row`` is for charts of several rows, one below the other."""
    drawn.add_hline(
        y=value,
        row=row,
        line={"dash": "dash", "width": 1.5},
        name=LIMIT,
        annotation={"text": words, "name": LIMIT, "yanchor": "bottom"},
    )


def _finished(drawn: Plot, *, height: int, **layout: Any) -> Figure:
    """Without colours, and still under the finger: a page that scrolls must not zoom a chart instead."""
    drawn.update_xaxes(fixedrange=True, title_font_size=13)
    drawn.update_yaxes(fixedrange=True, title_font_size=13)
    drawn.update_layout(
        height=height,
        margin={"l": 56, "r": 16, "t": 32, "b": 56},
        dragmode=False,
        **{"legend": _LEGEND, **layout},
    )
    drawn.update_annotations(font_size=13)
    for annotation in drawn.annotations:
        annotation.setdefault("name", SOFT)
    return drawn.as_json()


def _named(names: Sequence[str]) -> dict[str, Any]:
    """An axis of names. Their places are numbers: two that are shortened to the same stay two.

    There is no line at 0, where the first name is. Names that do not fit stand aslant, and end at what they name.
    """
    return {
        "tickvals": list(range(len(names))),
        "ticktext": [_plain(name) for name in names],
        "automargin": True,
        "autotickangles": [0, -35, -90],
        "showgrid": False,
        "zeroline": False,
    }


def _plain(name: str) -> str:
    """A name as Plotly shows it: it reads texts as HTML, links included."""
    return html.escape(shortened(name), quote=False)


def shortened(name: str) -> str:
    """A name from the registry, cut where it would push everything else aside."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
