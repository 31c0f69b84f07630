"""The few parts of a Plotly figure that the charts are made of, as plain values.

Plotly's own classes check each value against the whole schema of the library, which takes more time than all the rest
of a page that draws itself anew every few seconds. The methods here are named as theirs, and make the same JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

_NESTED = {"title_text": ("title", "text"), "title_font_size": ("title", "font", "size"), "font_size": ("font", "size")}
_PLAIN = {"data": {"scatter": [{"type": "scatter"}]}}
"""The template that sets nothing."""


class Plot:
    """A figure. With ``rows``, charts stand one above the other over the same x axis: ``heights`` are their parts of
    the height, ``spacing`` what is between two of them, ``titles`` stand over each."""

    def __init__(
        self, rows: int = 0, *, heights: Sequence[float] = (), spacing: float = 0.0, titles: Sequence[str] = ()
    ) -> None:
        self.data: list[dict[str, Any]] = []
        self.shapes: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.layout: dict[str, Any] = {}
        self.axes: dict[str, dict[str, Any]] = {"xaxis": {}, "yaxis": {}}
        self._rows = max(rows, 1)
        if rows:
            self._stack(heights or [1.0] * rows, spacing)
        for row, title in enumerate(titles, start=1):
            top = self.axes[_axis("y", row)]["domain"][1]
            where = {"x": 0.5, "xanchor": "center", "xref": "paper", "y": top, "yanchor": "bottom", "yref": "paper"}
            self.annotations.append({"font": {"size": 16}, "showarrow": False, "text": title, **where})

    def _stack(self, heights: Sequence[float], spacing: float) -> None:
        """The first row is at the top; the x axis is named below the last one alone."""
        rows, top = len(heights), 1.0
        free = (1.0 - spacing * (rows - 1)) / sum(heights)
        for row, part in enumerate(heights, start=1):
            bottom = top - part * free
            x = {"anchor": _name("y", row), "domain": [0.0, 1.0]}
            shared = {"matches": _name("x", rows), "showticklabels": False} if row < rows else {}
            self.axes[_axis("x", row)] = {**x, **shared}
            self.axes[_axis("y", row)] = {"anchor": _name("x", row), "domain": [max(bottom, 0.0), top]}
            top = bottom - spacing

    # ------------------------------------------------------------ what is drawn

    def add_scatter(self, *, row: int | None = None, **values: Any) -> None:
        self._add("scatter", row, values)

    def add_bar(self, *, row: int | None = None, **values: Any) -> None:
        self._add("bar", row, values)

    def _add(self, kind: str, row: int | None, values: Mapping[str, Any]) -> None:
        where = {} if row is None else {"xaxis": _name("x", row), "yaxis": _name("y", row)}
        self.data.append({"type": kind, **values, **where})

    def add_vline(self, x: Any, **values: Any) -> None:
        """From the bottom to the top of each chart."""
        for row in range(1, self._rows + 1):
            where = {"xref": _name("x", row), "yref": f"{_name('y', row)} domain"}
            self.shapes.append({"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, **where, **values})

    def add_hline(self, y: float, *, row: int = 1, annotation: Mapping[str, Any] | None = None, **values: Any) -> None:
        """From the left to the right of the chart in this row; the annotation stands on it, at its left."""
        where = {"xref": f"{_name('x', row)} domain", "yref": _name("y", row)}
        self.shapes.append({"type": "line", "x0": 0, "x1": 1, "y0": y, "y1": y, **where, **values})
        if annotation is not None:
            self.add_annotation(x=0, xanchor="left", y=y, showarrow=False, **where, **annotation)

    def add_annotation(self, **values: Any) -> None:
        self.annotations.append(values)

    # ------------------------------------------------------------ how it looks

    def update_xaxes(self, *, row: int | None = None, **values: Any) -> None:
        self._update("x", row, values)

    def update_yaxes(self, *, row: int | None = None, **values: Any) -> None:
        self._update("y", row, values)

    def _update(self, letter: str, row: int | None, values: Mapping[str, Any]) -> None:
        for name, axis in self.axes.items():
            if name.startswith(letter) and row in (None, _row(name)):
                _set(axis, values)

    def update_annotations(self, selector: Mapping[str, Any] | None = None, **values: Any) -> None:
        for each in self.annotations:
            if all(each.get(name) == value for name, value in (selector or {}).items()):
                _set(each, values)

    def update_traces(self, *, row: int, **values: Any) -> None:
        for each in self.data:
            if each.get("yaxis") == _name("y", row):
                _set(each, values)

    def update_layout(self, **values: Any) -> None:
        _set(self.layout, values)

    def top_of(self, row: int) -> float:
        """How high the chart in this row reaches, as a part of the height."""
        top: float = self.axes[_axis("y", row)]["domain"][1]
        return top

    def as_json(self) -> dict[str, Any]:
        """Values that JSON has: what is no finite number is None."""
        drawn = {"annotations": self.annotations, "shapes": self.shapes}
        marks = {name: parts for name, parts in drawn.items() if parts}
        layout = {"template": _PLAIN, **marks, **self.axes, **self.layout}
        return {"data": [_plain(trace) for trace in self.data], "layout": _plain(layout)}


def _name(letter: str, row: int) -> str:
    """What traces and shapes call an axis: x, x2, …"""
    return letter if row == 1 else f"{letter}{row}"


def _axis(letter: str, row: int) -> str:
    """What the layout calls it: xaxis, xaxis2, …"""
    return f"{letter}axis" if row == 1 else f"{letter}axis{row}"


def _row(axis: str) -> int:
    return int(axis[5:] or 1)


def _set(part: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        *above, last = _NESTED.get(name, (name,))
        inner = part
        for each in above:
            inner = inner.setdefault(each, {})
        inner[last] = value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(_items(value))
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _items(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if value is not None:
            yield name, _plain(value)
