"""What the page of all models offers beside its lines: filters that can be taken away again, and headings that sort."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from lifecycle.queries_models import NOBODY, Choices, ModelFilter, Sort


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is on: its name, its value, and the address of the list without it."""

    name: str
    value: str
    without: str


@dataclass(frozen=True, slots=True)
class Heading:
    """A column that sorts. ``order`` is ``ascending`` or ``descending`` while it does, else ""."""

    label: str
    address: str
    order: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address of the list asks for; the same list always has the same address."""

    wanted: ModelFilter
    sort: Sort

    def address(self, page: int = 1) -> str:
        """As the end of an address: "?" and what differs from the whole list."""
        given = [*self._parameters(), ("page", str(page) if page > 1 else "")]
        return "?" + urlencode([(name, value) for name, value in given if value])

    def _parameters(self) -> Iterator[tuple[str, str]]:
        wanted = self.wanted
        yield "search", wanted.search
        yield "stage", wanted.stage or ""
        yield from (("tag", tag) for tag in wanted.tags)
        yield "team", wanted.team
        yield "framework", wanted.framework
        yield "under_way", "yes" if wanted.under_way else ""
        yield "unhealthy", "yes" if wanted.unhealthy else ""
        yield "sort", "" if self.sort == Sort.NAME else self.sort

    def chips(self, choices: Choices) -> tuple[Chip, ...]:
        wanted, none = self.wanted, ModelFilter()
        teams = {NOBODY: "nobody", **dict(choices.teams)}
        shown = [
            ("Search", wanted.search, "search"),
            ("Version in", wanted.stage or "", "stage"),
            ("Owner", teams.get(wanted.team, wanted.team), "team"),
            ("Framework", wanted.framework, "framework"),
            ("Only", "under way" if wanted.under_way else "", "under_way"),
            ("Only", "unhealthy" if wanted.unhealthy else "", "unhealthy"),
        ]
        chips = [
            Chip(name, value, self._with(replace(wanted, **{field: getattr(none, field)})))
            for name, value, field in shown
            if value
        ]
        return (*chips, *(self._tag_chip(tag) for tag in wanted.tags))

    def not_listed(self, choices: Choices) -> dict[str, bool]:
        """Which of the chosen values is not among those that are offered: only the most frequent are."""
        teams, frameworks = {NOBODY, *dict(choices.teams)}, dict(choices.frameworks)
        return {
            "team": bool(self.wanted.team) and self.wanted.team not in teams,
            "framework": bool(self.wanted.framework) and self.wanted.framework not in frameworks,
        }

    def _tag_chip(self, tag: str) -> Chip:
        others = tuple(each for each in self.wanted.tags if each != tag)
        return Chip("Tag", tag, self._with(replace(self.wanted, tags=others)))

    def _with(self, wanted: ModelFilter) -> str:
        return replace(self, wanted=wanted).address()

    @property
    def everything(self) -> str:
        """The address without any filter, in the same order."""
        return self._with(ModelFilter())

    def headings(self) -> dict[str, Heading]:
        return {
            "name": self._heading("Model", Sort.NAME, Sort.NAME_DOWN),
            "newest": self._heading("Newest version", Sort.NEWEST, Sort.OLDEST),
            "versions": self._heading("Versions", Sort.MOST, Sort.FEWEST),
        }

    def _heading(self, label: str, first: Sort, second: Sort) -> Heading:
        """The first click sorts as people mostly want it, the next one the other way around."""
        order = ("descending" if self.sort.is_down else "ascending") if self.sort in (first, second) else ""
        following = second if self.sort == first else first
        return Heading(label, replace(self, sort=following).address(), order)
