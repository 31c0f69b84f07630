"""Which version of a model served what share at a time, from the record alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from lifecycle.domain import chain
from lifecycle.domain.live import ACTIONS, Period, Shares, Told, periods, place_at, shares_in
from lifecycle.models import AuditEntry, RegisteredModel
from lifecycle.transitions import RefusedError

LOOKED_BACK, LOOKED_AHEAD = 400, 100
"""How many entries before and after a moment are read: far more than one change of version takes."""
SHOWN_AROUND = 10
"""How many changes before and after it are listed."""
CLOCKS_APART = timedelta(seconds=5)
"""What is asked of so soon after now is not taken for the future: two clocks never quite agree."""


@dataclass(frozen=True, slots=True)
class LiveAt:
    """The answer for one moment.

    ``period`` is None where the record tells nothing of so early a time, which is not that nobody served: ``first`` is
    its first word about this model's requests, None where there is none at all. ``around`` are the changes before and
    after, in the order of the record; ``labels`` are the semantic versions that the record had for the versions then.
    ``cut`` says that the period may have begun before ``period`` says: so far back was not read.
    """

    model: RegisteredModel
    at: datetime
    period: Period | None
    around: tuple[Period, ...]
    first: datetime | None
    labels: dict[int, str]
    cut: bool = False

    @property
    def shares(self) -> Shares:
        return self.period.shares if self.period else Shares()

    @property
    def previous(self) -> datetime | None:
        """The last change before the one that holds."""
        before = [each.began.at for each in self.around if self.period and each.began.seq < self.period.began.seq]
        return before[-1] if before else None

    @property
    def next(self) -> datetime | None:
        """The first change after this moment."""
        if self.period is not None:
            return self.period.ended.at if self.period.ended else None
        return self.around[0].began.at if self.around else None


def live_at(model: RegisteredModel, at: datetime, now: datetime) -> LiveAt:
    """Raises RefusedError for a time that has not come yet."""
    if at > now + CLOCKS_APART:
        raise RefusedError(
            "That time is still to come. The record tells what was; ask for a time before now.",
            rule="future",
            status=422,
        )
    before = list(_entries(model).filter(at__lte=at).order_by("-seq")[:LOOKED_BACK])
    after = list(_entries(model).filter(at__gt=at).order_by("seq")[:LOOKED_AHEAD])
    known = periods(_told([*before, *after]))
    place = place_at(known, at)
    around = known[max((place or 0) - SHOWN_AROUND, 0) : (place or 0) + SHOWN_AROUND + 1]
    return LiveAt(
        model=model,
        at=at,
        period=None if place is None else known[place],
        around=around,
        first=_first(model) if place is None else None,
        labels=_labels(model, {version for each in around for version in each.shares.versions}, at),
        cut=place == 0 and len(before) == LOOKED_BACK,
    )


def last_told(model: RegisteredModel) -> Shares:
    """What the record said last; nothing where it has said nothing."""
    told = _told(_entries(model).order_by("-seq")[:1])
    return told[0].shares if told else Shares()


def _entries(model: RegisteredModel) -> QuerySet[AuditEntry]:
    """The entries that tell of shares. A disagreement about MLflow has the same action, and tells nothing of them."""
    rows = AuditEntry.objects.filter(model=chain.text(model.name), action__in=ACTIONS, refused=False)
    return rows.filter(details__has_key="weights")


def _told(entries: Iterable[AuditEntry]) -> list[Told]:
    read = ((entry, shares_in(entry.details)) for entry in entries)
    return [
        Told(entry.seq, entry.at, entry.action, shares, entry.transition, entry.reason)
        for entry, shares in read
        if shares is not None
    ]


def _first(model: RegisteredModel) -> datetime | None:
    first = _entries(model).order_by("seq").first()
    return first.at if first else None


def _labels(model: RegisteredModel, versions: Iterable[int], at: datetime) -> dict[int, str]:
    """What the record called each version at that time, else what it first called it later."""
    entries = AuditEntry.objects.filter(model=chain.text(model.name), version=OuterRef("version"))
    named = entries.exclude(semantic_version="").values("semantic_version")
    then = named.filter(at__lte=at).order_by("-seq")[:1]
    rows = model.versions.filter(version__in=versions)
    called = rows.annotate(called=Coalesce(Subquery(then), Subquery(named.order_by("seq")[:1])))
    return {number: name for number, name in called.order_by("version").values_list("version", "called") if name}
