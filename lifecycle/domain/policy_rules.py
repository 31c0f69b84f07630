"""What a value of a policy may be: types for pydantic that carry their range, and say in words what is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, Strict
from pydantic_core import PydanticCustomError

from lifecycle.domain import durations
from lifecycle.domain.criteria import ABOUT, TO_ARCHIVED, Criterion, Origin
from lifecycle.domain.permissions import ALLOWED, Action, Role
from lifecycle.domain.stages import Stage
from lifecycle.domain.strategies import BreachAction, Gateway, Sticky, Strategy
from lifecycle.domain.words import listed

Path = tuple[str | int, ...]


class Problem(NamedTuple):
    """One thing that is wrong: ``path`` leads to the value, () to the whole; ``message`` is a sentence."""

    path: Path
    message: str

    @property
    def where(self) -> str:
        """The path as text: "canary_steps[1].minimum"."""
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return text.removeprefix(".")


REFUSED = "refused"
"""pydantic's type of an error that carries problems of ours, in its context under ``problems``."""


def refusal(*problems: Problem) -> PydanticCustomError:
    return PydanticCustomError(REFUSED, "refused", {"problems": problems})


def obeys(rule: Callable[[Any], Iterable[Problem]]) -> AfterValidator:
    """Refuse a value with every problem that the rule finds in it; their paths begin at the value."""

    def check(value: Any) -> Any:
        found = tuple(rule(value))
        if found:
            raise refusal(*found)
        return value

    return AfterValidator(check)


def quoted(value: object) -> str:
    """A value of somebody's file, short and without characters that cannot be shown."""
    text = "".join(letter if letter.isprintable() else "�" for letter in str(value)[:61])
    return f"“{text[:60]}…”" if len(text) > 60 else f"“{text}”"


def meant(word: str, known: Iterable[str]) -> str:
    """A hint at what may have been meant, "" when nothing is near."""
    near = get_close_matches(word[:100], list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""


# ---------------------------------------------------------------- numbers


def within(low: float, high: float, unit: str = "") -> AfterValidator:
    def rule(value: float) -> Iterator[Problem]:
        # Written this way around, because a comparison with NaN is never true.
        if not low <= value <= high:
            yield Problem((), f"{value} is out of range: it has to be from {low:g} to {high:g}{unit}.")

    return obeys(rule)


def _above_zero(value: float) -> Iterator[Problem]:
    if value <= 0:
        yield Problem((), "This has to be more than 0, or nobody could satisfy it.")


def _finite(value: float) -> Iterator[Problem]:
    if not math.isfinite(value):
        yield Problem((), f"{value} is no number to compare with.")


Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Finite = Annotated[Number, obeys(_finite)]
Percent = Annotated[Number, within(0, 100, " percent")]
FailedPercent = Annotated[Percent, obeys(_above_zero)]
"""Less than this has to fail, so 0 would ask for less than nothing."""
Increase = Annotated[Number, within(0, 10_000, " percent")]
Rate = Annotated[Number, within(0, 1_000_000, " a second")]
Score = Annotated[Number, within(0, 10)]
Confidence = Annotated[Number, within(80, 99.99, " percent")]
Weight = Annotated[Whole, within(1, 100, " percent")]
StagingWeight = Annotated[Whole, within(0, 50, " percent")]
Requests = Annotated[Whole, within(0, 1_000_000_000, " requests")]
Users = Annotated[Whole, within(1, 500, " users")]
Inputs = Annotated[Whole, within(1, 5_000, " requests")]
Flag = Annotated[bool, Strict()]


# ---------------------------------------------------------------- lengths of time

LONGEST = timedelta(days=36_500)
"""Far enough, and near enough that it can be taken from any date of a record."""


def _read_length(given: object) -> timedelta:
    try:
        return durations.parse(given)
    except durations.DurationError as error:
        raise refusal(Problem((), str(error))) from None


def _length_in_range(length: timedelta) -> Iterator[Problem]:
    if length < timedelta(0):
        yield Problem((), f"{durations.write(length)} is negative: it has to be 0 seconds or longer.")
    elif length > LONGEST:
        yield Problem((), f"{durations.write(length)} is too long: it has to be {durations.say(LONGEST)} or shorter.")


def _some_time(length: timedelta) -> Iterator[Problem]:
    if length == timedelta(0):
        yield Problem((), "This has to be longer than 0 seconds, or nobody could satisfy it.")


Length = Annotated[
    timedelta,
    BeforeValidator(_read_length),
    obeys(_length_in_range),
    PlainSerializer(durations.write, return_type=str),
]
SomeTime = Annotated[Length, obeys(_some_time)]


# ---------------------------------------------------------------- names

_LONGEST_LIST = 200


def _is_name(text: str) -> Iterator[Problem]:
    if not text or text != text.strip():
        yield Problem((), "This has to be a name, without spaces before or after it.")
    elif len(text) > 250:
        yield Problem((), f"{quoted(text)} is longer than 250 characters.")
    elif not text.isprintable():
        yield Problem((), f"{quoted(text)} holds characters that cannot be shown.")


def _matches(pattern: str, what: str) -> AfterValidator:
    compiled = re.compile(pattern, re.ASCII)

    def rule(text: str) -> Iterator[Problem]:
        if not compiled.fullmatch(text):
            yield Problem((), f"{quoted(text)} is not {what}.")

    return obeys(rule)


Text = Annotated[str, Strict()]
Name = Annotated[Text, obeys(_is_name)]
Ending = Annotated[Text, _matches(r"[\w+-]{1,40}(\.[\w+-]{1,40})*", "the ending of a file's name, such as json")]
TypeName = Annotated[Text, _matches(r"[A-Za-z_]\w{0,99}(\.[A-Za-z_]\w{0,99}){0,19}", "the name of a Python type")]


HeaderName = Annotated[Text, _matches(r"[A-Za-z][A-Za-z0-9_-]{0,59}", "the name of a cookie or a header")]


def _is_query(text: str) -> Iterator[Problem]:
    if len(text) > 2_000:
        yield Problem((), f"This query has {len(text)} characters; it may have 2000.")
    elif text and "{version}" not in text:
        yield Problem((), "This query has to say {version} where the version's number belongs.")


Query = Annotated[Text, obeys(_is_query)]
"""PromQL, or "" for the query that fits the gateway."""


def word_of(words: type[StrEnum], what: str) -> BeforeValidator:
    """One of the words of an enumeration, with a hint for what is nearly one."""
    known = [word.value for word in words]

    def read(given: object) -> object:
        if isinstance(given, words) or given in known:
            return given
        hint = meant(str(given), known) or f" There are: {', '.join(known)}."
        raise refusal(Problem((), f"There is no {what} {quoted(given)}.{hint}"))

    return BeforeValidator(read)


def _once(values: Sequence[object]) -> Iterator[Problem]:
    for place, value in enumerate(values):
        if value in values[:place]:
            yield Problem((place,), f"{quoted(value)} is in this list already.")


def _not_too_many(values: Sequence[object]) -> Iterator[Problem]:
    if len(values) > _LONGEST_LIST:
        yield Problem((), f"This list has {len(values)} entries; it may have {_LONGEST_LIST}.")


def _something(values: Sequence[object]) -> Iterator[Problem]:
    if not values:
        yield Problem((), "This list needs at least one entry.")


ONCE = (obeys(_not_too_many), obeys(_once))
Names = Annotated[tuple[Name, ...], *ONCE]
SomeNames = Annotated[Names, obeys(_something)]


def _model_file(endings: Sequence[str]) -> Iterator[Problem]:
    if "MLmodel" not in endings:
        yield Problem((), "MLmodel is missing: every model of MLflow has that file, so no scan could pass without it.")


Endings = Annotated[tuple[Ending, ...], *ONCE, obeys(_model_file)]
TypeNames = Annotated[tuple[TypeName, ...], *ONCE]


# ---------------------------------------------------------------- criteria and roles

_AFTER_STAGING = (Criterion.SOAK, Criterion.LIVE_COMPARISON, Criterion.DRIFT)
"""Nobody can answer these before a version has answered requests in Staging."""

ASKABLE = {
    Stage.STAGING: tuple(each for each in Criterion if each not in (*_AFTER_STAGING, *TO_ARCHIVED)),
    Stage.PRODUCTION: tuple(each for each in Criterion if each not in TO_ARCHIVED),
    Stage.ARCHIVED: (*TO_ARCHIVED, Criterion.APPROVALS),
}
"""Which criteria a policy may ask for before a version enters the stage: those that can be answered by then."""

CHECKED = tuple(criterion for criterion, about in ABOUT.items() if about.origin == Origin.CHECKED)


def _only(known: Sequence[StrEnum], why: str) -> AfterValidator:
    def rule(value: StrEnum) -> Iterator[Problem]:
        if value not in known:
            yield Problem((), f"{value} cannot stand here: {why}")

    return obeys(rule)


def _holders(action: Action) -> tuple[Role, ...]:
    """The roles of people who may do it, in the order of the roles."""
    return tuple(role for role in Role if role in ALLOWED[action] and role != Role.SERVICE)


def _few_seats(roles: Sequence[Role]) -> Iterator[Problem]:
    if len(roles) > 10:
        yield Problem((), f"This asks {len(roles)} people for their yes; it may ask 10.")


CriterionName = Annotated[Criterion, word_of(Criterion, "criterion")]
RoleName = Annotated[Role, word_of(Role, "role")]
BeforeStaging = Annotated[
    CriterionName, _only(ASKABLE[Stage.STAGING], "it is about a version that has been in Staging or Production.")
]
BeforeProduction = Annotated[
    CriterionName, _only(ASKABLE[Stage.PRODUCTION], "it is about a version that has been in Production.")
]
BeforeArchived = Annotated[
    CriterionName, _only(ASKABLE[Stage.ARCHIVED], f"before Archived, ask for {listed(ASKABLE[Stage.ARCHIVED])}.")
]
Check = Annotated[CriterionName, _only(CHECKED, f"the checks of Stagegate are {listed(CHECKED)}.")]
Approver = Annotated[
    RoleName,
    _only(_holders(Action.APPROVE), f"the roles that may approve are {listed(_holders(Action.APPROVE))}."),
]
Waiving = Annotated[
    RoleName,
    _only(_holders(Action.GRANT_WAIVER), f"the roles that may waive are {listed(_holders(Action.GRANT_WAIVER))}."),
]
Bypassing = Annotated[
    RoleName, _only(_holders(Action.BYPASS), f"the roles that may bypass are {listed(_holders(Action.BYPASS))}.")
]

_TOLERANCES = (0, 0.1, 1, 5, 20)


def _is_counted(value: float) -> Iterator[Problem]:
    if value not in _TOLERANCES:
        yield Problem(
            (), f"{value:g} is not counted apart: it has to be {listed([*map(str, _TOLERANCES)], 'or')} percent."
        )


ShadowTolerance = Annotated[Number, obeys(_is_counted)]
StrategyName = Annotated[Strategy, word_of(Strategy, "strategy")]
StickyBy = Annotated[Sticky, word_of(Sticky, "way to keep users with one version")]
OnLatency = Annotated[BreachAction, word_of(BreachAction, "action")]
GatewayName = Annotated[Gateway, word_of(Gateway, "gateway")]

ToStaging = Annotated[tuple[BeforeStaging, ...], *ONCE]
ToProduction = Annotated[tuple[BeforeProduction, ...], *ONCE]
ToArchived = Annotated[tuple[BeforeArchived, ...], *ONCE]
AnyCriteria = Annotated[tuple[CriterionName, ...], *ONCE]
CheckList = Annotated[tuple[Check, ...], *ONCE]
ApprovalRoles = Annotated[tuple[Approver, ...], obeys(_few_seats)]
"""A role may stand here twice: then two people of that role have to say yes."""
WaiverRoles = Annotated[tuple[Waiving, ...], *ONCE]
BypassRoles = Annotated[tuple[Bypassing, ...], *ONCE]


# ---------------------------------------------------------------- rules about several values


def steps_rise(steps: Sequence[Any]) -> Iterator[Problem]:
    """Weights rise from step to step, up to 100 percent."""
    if not steps:
        yield Problem((), "There has to be at least one step.")
        return
    if len(steps) > 50:
        yield Problem((), f"There are {len(steps)} steps; there may be 50.")
    for place, (before, step) in enumerate(pairwise(steps), start=1):
        if step.weight <= before.weight:
            yield Problem(
                (place, "weight"),
                f"{step.weight} does not rise: the step before it has {before.weight} percent.",
            )
    if steps[-1].weight != 100:
        yield Problem((len(steps) - 1, "weight"), f"The last step has to be 100 percent, not {steps[-1].weight}.")


def latencies_rise(levels: Any) -> Iterator[Problem]:
    """A higher percentile is never faster than a lower one."""
    names = ("latency_p50", "latency_p95", "latency_p99")
    for lower, higher in pairwise(names):
        slow, fast = getattr(levels, higher), getattr(levels, lower)
        if slow < fast:
            yield Problem(
                (higher,), f"{durations.write(slow)} is less than {lower}, {durations.write(fast)}; it cannot be."
            )


BOUNDS = ("at_least", "at_most", "at_least_metric", "at_most_metric")


def one_bound(benchmark: Any) -> Iterator[Problem]:
    given = [name for name in BOUNDS if getattr(benchmark, name) is not None]
    if len(given) != 1:
        found = f"there are {len(given)} ({', '.join(given)})" if given else "there is none"
        yield Problem((), f"This needs exactly one bound of {', '.join(BOUNDS)}; {found}.")


def one_direction(regression: Any) -> Iterator[Problem]:
    """A metric stands in one of the three lists at most."""
    seen: dict[str, str] = {}
    for each in ("higher_is_better", "lower_is_better", "ignored"):
        for place, name in enumerate(getattr(regression, each)):
            if name in seen:
                yield Problem((each, place), f"{quoted(name)} is in the list {seen[name]} already.")
            seen[name] = each


MEASURED_LONGEST = timedelta(minutes=3)
"""A load test has to be over before the time limit of a task, with its start and its end."""


def fits_in_a_task(load_test: Any) -> Iterator[Problem]:
    both = load_test.ramp + load_test.steady
    if both > MEASURED_LONGEST:
        longest = durations.say(MEASURED_LONGEST)
        yield Problem(("steady",), f"With the ramp this takes {durations.say(both)}; both together may take {longest}.")
