"""Rows as Plotly figures: pure functions. A figure is JSON; the page's script draws it in the colours of the theme.

A trace says in ``meta``, a shape and an annotation in ``name``, which colour of the style sheets it wants.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from lifecycle.domain.policy import ServiceLevels
from lifecycle.domain.words import figure as in_figures
from portal.measurements import FeatureDrift, Second

Figure = dict[str, Any]

STABLE, CANARY, LIMIT, SOFT = "stable", "canary", "failed", "ink-soft"
"""Colours: tokens of static/css/tokens.css."""

LONGEST_NAME = 40
MOST_BARS = 25
_HEIGHT = 460
_LEGEND = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left", "itemclick": False}
_BAR_HEIGHT = 26


def load_test(seconds: Sequence[Second], levels: ServiceLevels, *, ramp: float = 0) -> Figure | None:
    """Throughput above, latency below, over the seconds of the test, with the policy's limits as lines.

    ``ramp`` is how many seconds it took until all users were there. None when nothing was measured.
    """
    if not seconds:
        return None
    at = [second.at for second in seconds]
    titles = ("Answers a second", "Latency in seconds")
    drawn = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.14, subplot_titles=titles)
    _line(drawn, 1, "answers", at, [second.answered for second in seconds], STABLE)
    if any(second.failed for second in seconds):
        _line(drawn, 1, "failed", at, [second.failed for second in seconds], LIMIT, dash="dot")
    _line(drawn, 2, "p50", at, [second.p50 for second in seconds], STABLE)
    _line(drawn, 2, "p95", at, [second.p95 for second in seconds], CANARY)
    _limit(drawn, 1, levels.throughput, f"at least {in_figures(levels.throughput)}")
    p50, p95 = levels.latency_p50.total_seconds(), levels.latency_p95.total_seconds()
    _limit(drawn, 2, p50, f"p50 at most {in_figures(p50)} s")
    _limit(drawn, 2, p95, f"p95 at most {in_figures(p95)} s")
    if ramp > 0:
        drawn.add_vline(x=ramp, line={"dash": "dot", "width": 1.5}, name=SOFT)
    drawn.update_xaxes(title_text="Seconds since the first user", row=2, col=1)
    drawn.update_yaxes(rangemode="tozero")
    # Each half has its title at its left, and its legend at its right.
    drawn.update_annotations(selector={"showarrow": False, "xref": "paper"}, x=0, xanchor="left")
    drawn.update_traces(legend="legend2", row=2, col=1)
    beside = {**_LEGEND, "x": 1, "xanchor": "right"}
    lower = {**beside, "y": drawn.layout.yaxis2.domain[1]}
    return _finished(drawn, height=_HEIGHT, legend=beside, legend2=lower)


def distances(features: Sequence[FeatureDrift], limit: float) -> Figure | None:
    """One bar a feature, the farthest first, with the policy's limit as a line. None without features."""
    shown = list(features[:MOST_BARS])
    if not shown:
        return None
    drawn = go.Figure()
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
    drawn = go.Figure()
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


def _line(
    drawn: go.Figure, row: int, name: str, at: list[float], values: list[Any], colour: str, dash: str = "solid"
) -> None:
    drawn.add_scatter(
        x=at, y=values, name=name, mode="lines", line={"width": 2, "dash": dash}, meta=colour, row=row, col=1
    )


def _limit(drawn: go.Figure, row: int, value: float, words: str) -> None:
    drawn.add_hline(
        y=value,
        row=row,
        col=1,
        line={"dash": "dash", "width": 1.5},
        name=LIMIT,
        annotation={"text": words, "name": LIMIT, "yanchor": "bottom"},
        annotation_position="top left",
    )


def _finished(drawn: go.Figure, *, height: int, **layout: Any) -> Figure:
    """Without colours, and still under the finger: a page that scrolls must not zoom a chart instead."""
    drawn.update_xaxes(fixedrange=True)
    drawn.update_yaxes(fixedrange=True)
    drawn.update_layout(
        template="none",
        height=height,
        margin={"l": 56, "r": 16, "t": 32, "b": 56},
        dragmode=False,
        **{"legend": _LEGEND, **layout},
    )
    drawn.update_annotations(font_size=13)
    for annotation in drawn.layout.annotations:
        annotation.name = annotation.name or SOFT
    figure: Figure = json.loads(drawn.to_json())
    return figure


def _named(names: Sequence[str]) -> dict[str, Any]:
    """An axis of names. Their places are numbers: two that are shortened to the same stay two."""
    return {"tickvals": list(range(len(names))), "ticktext": [_plain(name) for name in names], "automargin": True}


def _plain(name: str) -> str:
    """A name as Plotly shows it: it reads texts as HTML, links included."""
    shown = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    return html.escape(shown, quote=False)
