"""Drift: do requests look like what the version was trained on?

The server of the version counts the values of every feature in the bins of the training reference, from its start on;
these counts are laid over the reference itself. The requests of users are what counts, so the version has to serve
some of them: it is in Staging, or in Production.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lifecycle.adapters import model_metrics
from lifecycle.adapters.http import get, samples
from lifecycle.checks.base import Report, Result, Subject
from lifecycle.checks.names import spoken
from lifecycle.domain.drift import Distribution, NotComparableError, distance, largest
from lifecycle.model_files import REFERENCE, training_reference
from lifecycle.ports import PermanentError, TemporaryError

LEAST = 100
"""Fewer rows than these say nothing: ten bins of a hundred equal draws already lie some 0.13 apart by chance."""
SHOWN = 100
"""How many features the evidence shows with their distributions, those that drifted most."""
MAX_NAME = 200
_ANSWER_SECONDS = 10.0

Counted = Mapping[str, Distribution]


@dataclass(frozen=True, slots=True)
class Answered:
    """What a server counted: rows, and the values of each feature, since it started; None when it does not say when."""

    rows: int
    features: Counted
    since: datetime | None


def run(subject: Subject, report: Report) -> Result:
    """Compare the features of users' requests with those of training.

    Raises PermanentError while there is nothing to compare: no reference, no server, or too few requests.
    """
    if not subject.users_url:
        raise PermanentError("No user's request reaches this version. Move it to Staging first, where it gets some.")
    report(10, "reading the training reference")
    reference = _reference(subject)
    report(40, "reading what the version was asked")
    answered = _answered(subject.users_url)
    if answered.rows < LEAST:
        raise PermanentError(
            f"Only {answered.rows:,} rows so far; at least {LEAST} are needed. Start the check again later."
        )
    report(70, "comparing them")
    return _result(reference, answered, subject.policy.comparison.drift)


def _reference(subject: Subject) -> Counted:
    reference = training_reference(subject.files)
    if not reference:
        raise PermanentError(
            "The model says nothing about the data that it was trained on. Log it with metadata="
            f'{{"{REFERENCE}": build_reference(features, predictions)}}, or waive this criterion with a reason.'
        )
    return reference


# ---------------------------------------------------------------- what the server counted


def _answered(url: str) -> Answered:
    answer = get(f"{url.rstrip('/')}/metrics", timeout=_ANSWER_SECONDS)
    if answer.status != 200:
        raise TemporaryError(f"The version's server answers {answer.status} when asked for its metrics.")
    try:
        rows = int(sum(sample.value for sample in samples(answer.text, "stagegate_rows_total")))
        return Answered(rows, model_metrics.features(answer.text), _since(answer.text))
    except (KeyError, ValueError, OverflowError) as error:
        raise TemporaryError("The version's server answers with metrics that can't be read.") from error


def _since(text: str) -> datetime | None:
    """When the server, and with it every count, began; None when it does not say."""
    began = model_metrics.started(text)
    return datetime.fromtimestamp(began, UTC).replace(microsecond=0) if began else None


# ---------------------------------------------------------------- what came out


def _result(reference: Counted, answered: Answered, limit: float) -> Result:
    seen = answered.features
    rare = {name: _too_rare(seen.get(name)) for name in reference}
    distances = {name: _distance(name, reference[name], seen[name]) for name, why in rare.items() if not why}
    if not distances:
        name, why = next(iter(rare.items()))
        raise PermanentError(f"No feature can be compared with its training reference; {_name(name)} {why}.")
    farthest, value = largest(distances)
    measurements = {
        "value": round(value, 4),
        "feature": _name(farthest),
        "limit": limit,
        "rows": answered.rows,
        "since": answered.since.isoformat() if answered.since else None,
        "features": len(reference),
        "distances": _bounded({name: round(each, 4) for name, each in _by_distance(distances).items()}),
        "not_compared": _bounded({name: why for name, why in rare.items() if why}),
        "distributions": [_shown(name, distances, reference, seen) for name in list(_by_distance(distances))[:SHOWN]],
    }
    return Result(value <= limit, _detail(farthest, value, limit, answered), measurements)


def _distance(name: str, trained: Distribution, now: Distribution) -> float:
    try:
        return distance(trained, now)
    except NotComparableError as error:
        raise PermanentError(f"The feature {_name(name)} {error}.") from error


def _too_rare(seen: Distribution | None) -> str:
    """Why a feature cannot be judged, "" when it can: an optional one may never have been given."""
    total = seen.total if seen else 0
    return "" if total >= LEAST else f"was given in {total:,.0f} rows only, of at least {LEAST}"


def _name(name: object) -> str:
    return spoken(str(name), MAX_NAME)


def _by_distance(distances: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(distances.items(), key=lambda item: (-item[1], item[0])))


def _bounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {_name(name): value for name, value in list(values.items())[:SHOWN]}


def _shown(name: str, distances: Mapping[str, float], reference: Counted, seen: Counted) -> dict[str, Any]:
    """Reference and seen over the same bins, as parts of 1; ``edges`` or ``categories`` say which."""
    trained, now = reference[name], seen[name]
    known = dict(zip(now.categories, now.shares, strict=True)) if now.categories else {}
    names = [*trained.categories, *(each for each in known if each not in trained.categories)]
    trained_share = dict(zip(trained.categories, trained.shares, strict=True)) if names else {}
    return {
        "feature": _name(name),
        "distance": round(distances[name], 4),
        "edges": list(trained.edges),
        "categories": [_name(each) for each in names],
        "reference": [round(trained_share.get(each, 0.0), 4) for each in names] or _rounded(trained),
        "seen": [round(known.get(each, 0.0), 4) for each in names] or _rounded(now),
    }


def _rounded(distribution: Distribution) -> list[float]:
    return [round(share, 4) for share in distribution.shares]


def _detail(farthest: str, value: float, limit: float, answered: Answered) -> str:
    since = f" since {answered.since:%Y-%m-%d %H:%M} UTC" if answered.since else ""
    counted = f"over {answered.rows:,} rows{since}"
    name = _name(farthest)
    if value <= limit:
        return f"Farthest from training is {name}, by {value:.3f} of at most {limit:g}, {counted}."
    return (
        f"{name} lies {value:.3f} from what the model was trained on, {counted}; at most {limit:g} is allowed. "
        "Find out why requests differ; when it is understood, the criterion can be waived with that reason."
    )
