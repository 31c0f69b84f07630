"""Semantic versions of model versions: MAJOR.MINOR.PATCH, and whether a number says truly how much changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from semver import Version

from lifecycle.domain.facts import VersionFacts
from lifecycle.domain.findings import State
from lifecycle.domain.signatures import Bump, Difference, SignatureError, compare_written, read, shown

FIRST = Version(1, 0, 0)
"""What the lifecycle strategy calls a model's first version."""
LARGEST_PART = 999_999_999
LONGEST = 50

_GROW: dict[Bump, Callable[[Version], Version]] = {
    Bump.PATCH: Version.bump_patch,
    Bump.MINOR: Version.bump_minor,
    Bump.MAJOR: Version.bump_major,
}
_LOOSE = re.compile(r"[vV]?\s*(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:[-+][0-9A-Za-z.+-]*)?", re.ASCII)


class SemanticVersionError(ValueError):
    """The text is not MAJOR.MINOR.PATCH. ``str(error)`` says what to write instead."""


# ---------------------------------------------------------------- numbers


def parse(text: str) -> Version:
    """Exactly three whole numbers with dots between them. Raises SemanticVersionError."""
    if len(text) > LONGEST:
        raise SemanticVersionError(f"The semantic version is longer than {LONGEST} characters. {_instead('')}")
    try:
        found = _parsed(text)
    except ValueError as error:
        raise SemanticVersionError(f"“{text}” is not a semantic version. {_instead(text)}") from error
    if found.prerelease or found.build:
        raise SemanticVersionError(
            f"“{text}” has something after its three numbers; how far a model version has come is what its stage says. "
            + _instead(text)
        )
    if max(found.major, found.minor, found.patch) > LARGEST_PART:
        raise SemanticVersionError(f"A part of “{text}” is greater than {LARGEST_PART:,}. {_instead('')}")
    return found


@lru_cache(maxsize=20_000)
def _parsed(text: str) -> Version:
    """A page of a version parses the numbers of all others of its model several times over."""
    return Version.parse(text)


def _instead(text: str) -> str:
    """What to write instead: the numbers that can be made out, or an example."""
    found = _LOOSE.fullmatch(text.strip())
    if found is None:
        return "Write three whole numbers with dots between them, such as 1.2.0."
    return "Write " + ".".join(str(int(part or 0)) for part in found.groups()) + "."


def bump_between(old: Version, new: Version) -> Bump:
    """Which part grew. Raises ValueError unless ``new`` is the greater one."""
    if new <= old:
        raise ValueError(f"{new} is not greater than {old}")
    if new.major > old.major:
        return Bump.MAJOR
    return Bump.MINOR if new.minor > old.minor else Bump.PATCH


def proposal(base: Version, bump: Bump) -> Version:
    """The lowest number that is this bump above ``base``. A MAJOR of 0.x is 1.0.0: 0.x has no rules of its own."""
    return _GROW[bump](base)


# ---------------------------------------------------------------- judging


@dataclass(frozen=True, slots=True)
class Base:
    """The version that a number is measured against: MLflow's number, and its semantic version."""

    version: int
    number: Version


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a version's number says truly how much changed.

    ``state`` is passed, failed or missing. ``measured`` and ``wanted`` are words; ``why`` says what is wrong and what
    to do, "" when it is passed. ``base`` is None for a model's first number. ``required`` is the least bump above the
    base that is right, None without a base or when this version's own signature cannot be read. ``proposal`` is the
    lowest number that is right and free, "" when there is none or none is needed. ``difference`` is what changed since
    the base, None without one.
    """

    state: State
    measured: str
    wanted: str
    why: str = ""
    required: Bump | None = None
    proposal: str = ""
    base: Base | None = None
    difference: Difference | None = None

    @property
    def passed(self) -> bool:
        return self.state == State.PASSED


def judge(version: VersionFacts, others: Iterable[VersionFacts]) -> Verdict:
    """Judge a version's number against the model's other versions that the registry still has.

    1. It is MAJOR.MINOR.PATCH, and no other version has it.
    2. It is greater than its base: the highest number among the versions registered before it.
    3. It is at least the bump that the change of the signature since the base requires.
    """
    known = tuple(others)
    numbers = numbers_of(known)
    base = base_of(version.version, numbers)
    judged = _Judged(version, numbers, base, *_change(version, base, known))
    if not version.semantic_version:
        return judged.verdict(State.MISSING, f"It has no semantic version. {judged.advice}")
    try:
        number = parse(version.semantic_version)
    except SemanticVersionError as error:
        return judged.verdict(State.FAILED, str(error))
    why = judged.why_wrong(number)
    return judged.verdict(State.FAILED if why else State.PASSED, why)


def numbers_of(versions: Iterable[VersionFacts]) -> dict[int, Version]:
    """The valid semantic versions, by MLflow's number."""
    found = {}
    for each in versions:
        try:
            found[each.version] = parse(each.semantic_version)
        except SemanticVersionError:
            continue
    return found


def base_of(version: int, numbers: dict[int, Version]) -> Base | None:
    """The highest number among the versions registered before; of equals, the latest."""
    before = [(number, earlier) for earlier, number in numbers.items() if earlier < version]
    if not before:
        return None
    number, earlier = max(before)
    return Base(earlier, number)


def _change(version: VersionFacts, base: Base | None, others: Iterable[VersionFacts]) -> tuple[Difference | None, str]:
    """The difference since the base, and why this version's own signature cannot be compared, "" when it can."""
    if base is None:
        return None, ""
    before = next(each for each in others if each.version == base.version)
    difference = compare_written(before.signature, version.signature)
    try:
        read(version.signature)
    except SignatureError as error:
        return difference, str(error)
    return difference, ""


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a verdict is made of. ``unreadable`` says why this version's own signature cannot be read."""

    version: VersionFacts
    numbers: dict[int, Version]
    base: Base | None
    difference: Difference | None
    unreadable: str

    @property
    def required(self) -> Bump | None:
        return None if self.difference is None or self.unreadable else self.difference.bump

    @property
    def lowest(self) -> Version | None:
        """The lowest number that is right, whether or not it is free; None while the change is not known."""
        if self.base is None:
            return FIRST
        return None if self.required is None else proposal(self.base.number, self.required)

    @property
    def free(self) -> Version | None:
        """The lowest number that is right and free, and below those of all later versions, which would go backwards."""
        number, taken = self.lowest, set(self.numbers.values())
        if number is None:
            return None
        while number in taken:
            number = number.bump_patch()
        later = [each for registered, each in self.numbers.items() if registered > self.version.version]
        too_large = max(number.major, number.minor, number.patch) > LARGEST_PART
        return None if too_large or any(each < number for each in later) else number

    @property
    def advice(self) -> str:
        """What to write, or why nothing can be proposed."""
        if self.unreadable:
            return self.unreadable
        if self.free is None:
            return (
                f"It would have to be {self.lowest} at least, but versions registered after it have such numbers "
                "already. Register the model again, so that it comes after them."
            )
        if self.base is None:
            return f"A model's first version is called {self.free}."
        return f"{self.free} is the lowest number that is right."

    @property
    def wanted(self) -> str:
        if self.base is None:
            return "any number MAJOR.MINOR.PATCH, as it is the first"
        if self.required is None or self.lowest is None:
            return f"above {self.base.number}"
        return f"at least {self.lowest} ({self.required.name} above {self.base.number})"

    def why_wrong(self, number: Version) -> str:
        """Why the number is wrong, "" when it is right."""
        twin = next((version for version, other in self.numbers.items() if other == number), None)
        if twin is not None:
            return f"Version {twin} in MLflow is {number} too. Two versions cannot have one number. {self.advice}"
        if self.base is None:
            return ""
        if number < self.base.number:
            return (
                f"It goes backwards: version {self.base.version} in MLflow, which was registered before it, "
                f"is {self.base.number}. {self.advice}"
            )
        if self.required is None:
            return f"What changed since {self.base.number} is not known. {self.unreadable}"
        return self._why_too_low(number, self.base.number, self.required)

    def _why_too_low(self, number: Version, base: Version, required: Bump) -> str:
        bump = bump_between(base, number)
        if bump >= required or self.difference is None:
            return ""
        return (
            f"From {base} to {number} is a {bump.name} change, but a {required.name} change is required. "
            f"{self.difference.words} {self.advice}"
        )

    def verdict(self, state: State, why: str) -> Verdict:
        wrong = state != State.PASSED
        return Verdict(
            state=state,
            measured=shown(self.version.semantic_version, LONGEST) or "no number",
            wanted=self.wanted,
            why=why,
            required=self.required,
            proposal=str(self.free) if wrong and self.free is not None else "",
            base=self.base,
            difference=self.difference,
        )
