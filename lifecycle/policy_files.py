"""Policies as YAML files: written with comments for people, read with every problem at its line and column."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from lifecycle.domain import policy as policy_values
from lifecycle.domain.policy import Path, Policy, PolicyError, Problem
from lifecycle.domain.policy_rules import quoted

LONGEST_FILE = 64 * 1024
"""Bytes. The lifecycle strategy's values take 4 KB."""
DEEPEST = 12
"""Groups inside groups; a policy has four."""
MOST_PROBLEMS = 100


@dataclass(frozen=True, slots=True, order=True)
class FileProblem:
    """What is wrong at a place of a file. ``line`` and ``column`` count from 1; ``path`` leads to the value."""

    line: int
    column: int
    message: str
    path: Path = ()

    def __str__(self) -> str:
        return f"Line {self.line}, column {self.column}: {self.message}"


class PolicyFileError(ValueError):
    """A file that holds no policy, with all its ``problems``, by line. ``str(error)`` tells the first one."""

    def __init__(self, problems: Sequence[FileProblem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda each: (each.line, each.column))[:MOST_PROBLEMS])
        more = len(problems) - 1
        also = f" There {'is 1 more problem' if more == 1 else f'are {more} more problems'}." if more else ""
        super().__init__(f"{self.problems[0]}{also}")


# ---------------------------------------------------------------- writing

_HEAD = """\
# A policy of Stagegate. What is left out takes the value of the lifecycle strategy.
# Lengths of time: 500ms, 90s, 10m, 24h, 7d, "1h 30m", or seconds as a number. Lists: one name a line, or [a, b].
"""
_COMMENTS = {
    "criteria": "What is asked before a version enters a stage.",
    "benchmarks": "The first of the metrics that the run recorded counts. One bound each: at_least or at_most a\n"
    "number, or at_least_metric or at_most_metric, another metric of the same run.",
    "service_levels": "What one replica has to reach under load. Throughput: answers a second. The last two: percent.\n"
    "Less than failed_predictions has to fail.",
    "soak": "How long a version serves in Staging, and how many requests it has to answer there.",
    "offline_regression": "How much worse than Production's a recorded metric may be, in percent of that.\n"
    "The lists name metrics whose direction is not known, or is the other way around.",
    "comparison": "What stops a rollout. Rates in percent of requests; error_rate_increase in percentage points;\n"
    "the increases of latency and business metric in percent; drift and prediction_psi are scores.\n"
    "on_latency: hold or roll_back. confidence: how sure to be over a whole rollout, in percent.",
    "rollout": "How requests move into Production. strategy: canary, blue_green or shadow. sticky: none, cookie or\n"
    "header, whose name is sticky_name.",
    "metrics": 'PromQL for an installation with Prometheus; {slug} and {version} are filled in. What is "" takes the\n'
    "query that fits the gateway: traefik, envoy or istio.",
    "evidence": "Older evidence is stale. Every version needs the tags.",
    "waivers": "Who may let a criterion pass, for how long at most, and which criteria nobody may.",
    "checks": "Which checks Stagegate starts by itself, and what they use. ramp and steady: 3m together at most.",
    "retention": "Least time in Production; time in Staging before a flag; time in Archived before deletion;\n"
    "the age below which nothing is deleted.",
    "canary_steps": "Percent of requests for the new version, rising to 100, and how long and how many requests each\n"
    "step lasts at least. asks: the role of whoever has to let it go on.",
    "staging_weight": "Percent of requests for a version in Staging, 0 to 50.",
    "approvals_to_staging": "Roles that have to say yes; one twice asks for two people.",
    "approval": "How long a yes stands; after how long a yes to Production asks who you are again; and who may\n"
    "let a change go on in an emergency without the approvals that are missing.",
    "start_limit": "How long a server may take until it is ready.",
    "warm_window": "How long the previous version's server is kept for a rollback within a second.",
    "shortened": "Whether durations are shortened, as in a demo.",
}


def write(policy: Policy) -> str:
    """The policy as YAML: ``read`` gives an equal one. Values stand in the same order in every file."""
    return _HEAD + "".join(_group(name, value) for name, value in policy_values.dump(policy).items())


def _group(name: str, value: Any) -> str:
    comment = "".join(f"# {line}\n" for line in _COMMENTS.get(name, "").splitlines())
    text = yaml.dump(
        {name: _shortly(value)},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=False,
    )
    return f"\n{comment}{text}" if comment else text


def _shortly(value: Any) -> Any:
    """Numbers as people write them: 100, not 100.0."""
    if isinstance(value, Mapping):
        return {name: _shortly(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shortly(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


# ---------------------------------------------------------------- reading


def read(given: str | bytes) -> Policy:
    """The policy that a file holds. Raises PolicyFileError with everything that is wrong.

    Behind a mistake that keeps the rest from being YAML nothing is looked at.
    """
    text = _text(given)
    reading = _compose(text)
    try:
        policy = policy_values.load(reading.values)
    except PolicyError as error:
        raise PolicyFileError(_place_all(text, [*reading.complaints, *reading.places(error.problems)])) from None
    if reading.complaints:
        raise PolicyFileError(_place_all(text, reading.complaints))
    return policy


def locate(given: str | bytes, problems: Sequence[Problem]) -> tuple[FileProblem, ...]:
    """Problems of a policy at their places in the file that ``read`` read it from."""
    text = _text(given)
    return tuple(_place_all(text, _compose(text).places(problems)))


def _compose(text: str) -> _Reading:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise PolicyFileError([*_place_all(text, loader.complaints), _syntax_problem(text, error)]) from None
    finally:
        loader.dispose()
    if root is None:
        raise PolicyFileError([FileProblem(1, 1, "This file is empty. To take every value of the strategy, write {}.")])
    return _Reading(root, loader.complaints)


def _text(given: str | bytes) -> str:
    data = given if isinstance(given, bytes) else given.encode("utf-8", "surrogatepass")
    if len(data) > LONGEST_FILE:
        raise PolicyFileError([FileProblem(1, 1, f"This file is larger than {LONGEST_FILE // 1024} KB.")])
    try:
        text = data.decode("utf-8-sig", "strict" if isinstance(given, bytes) else "surrogatepass")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        raise PolicyFileError(_place_all(before, [(len(before), "This is not UTF-8 text.", ())])) from None
    text = text.replace("\r\n", "\n")
    odd = [
        (each.start(), f"The character U+{ord(each[0]):04X} cannot stand in a file.", ())
        for each in yaml.reader.Reader.NON_PRINTABLE.finditer(text)
    ]
    if odd:
        raise PolicyFileError(_place_all(text, odd))
    return text


def _syntax_problem(text: str, error: yaml.MarkedYAMLError) -> FileProblem:
    mark = error.problem_mark or error.context_mark
    at = mark.index if mark else 0
    why = ", ".join(filter(None, (error.context, error.problem)))
    return _place_all(text, [(at, f"This is not YAML: {why}.", ())])[0]


def _place_all(text: str, complaints: Sequence[Complaint]) -> list[FileProblem]:
    """Places counted in characters, as lines and columns."""
    starts = [0, *(each.end() for each in re.finditer("\n", text))]

    def place(at: int, message: str, path: Path) -> FileProblem:
        line = bisect_right(starts, at)
        return FileProblem(line, at - starts[line - 1] + 1, message, path)

    return [place(*complaint) for complaint in complaints]


# ---------------------------------------------------------------- the dialect

_NULL, _BOOL, _INT, _FLOAT, _TEXT, _LIST, _GROUP = (
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")
)
_NUMBER_STARTS = "-+.0123456789"
_CORE = (
    (_NULL, re.compile(r"(?:~|null|Null|NULL)?\Z"), ["~", "n", "N", ""]),
    (_BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
    (_INT, re.compile(r"[-+]?[0-9]{1,300}\Z"), list(_NUMBER_STARTS)),
    (_FLOAT, re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"), list(_NUMBER_STARTS)),
    (_FLOAT, re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"), list(_NUMBER_STARTS)),
)
"""YAML 1.2's core schema. PyYAML's own is that of YAML 1.1, where "yes" is true, 1:30 is 90, and 1e3 is text."""

Complaint = tuple[int, str, Path]
"""What is wrong: the place, counted in characters from 0; the message; the path to the value."""


class _Loader(yaml.SafeLoader):
    """Composes nodes, without what makes YAML dangerous or surprising: aliases, depth, the types of YAML 1.1."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.complaints: list[Complaint] = []
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "anchor", None):
            self.complaints.append((event.start_mark.index, "Anchors and aliases (& and *) are not allowed here.", ()))
            event.anchor = None
        if self.check_event(yaml.AliasEvent):
            self.get_event()
            return yaml.ScalarNode(_ALIAS, "", event.start_mark, event.end_mark)
        self._depth += 1
        if self._depth > DEEPEST:
            raise yaml.composer.ComposerError(None, None, "groups are nested too deeply", event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_ALIAS = "!alias"


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would not read as text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _CORE:
    _Loader.add_implicit_resolver(_tag, _pattern, _first)
    _Dumper.add_implicit_resolver(_tag, _pattern, _first)


# ---------------------------------------------------------------- values and their places


class _Reading:
    """Turns nodes into plain values and remembers where each was."""

    def __init__(self, root: yaml.Node, complaints: Sequence[Complaint]) -> None:
        self.complaints = list(complaints)
        self._places: dict[Path, int] = {}
        self._faulty: set[Path] = set()
        self.values = self._value(root, ())

    def places(self, problems: Sequence[Problem]) -> list[Complaint]:
        """Problems of the values where they stand; without those of values that could not be read at all."""
        return [(self._place(path), message, path) for path, message in problems if not self._has_complained(path)]

    def _place(self, path: Path) -> int:
        """Where the value stands, or what is nearest around it."""
        while path not in self._places:
            path = path[:-1]
        return self._places[path]

    def _has_complained(self, path: Path) -> bool:
        return any(path[:length] in self._faulty for length in range(len(path) + 1))

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._places.setdefault(path, node.start_mark.index)
        if isinstance(node, yaml.MappingNode) and node.tag == _GROUP:
            return self._group(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _LIST:
            return [self._value(item, (*path, place)) for place, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _READERS:
            return self._scalar(node, path)
        self._faulty.add(path)
        if node.tag != _ALIAS:
            self._complain(node, path, f"Types such as {quoted(node.tag)} are not allowed here.")
        return None

    def _group(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, inner in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _ALIAS:
                self._complain(key, path, "The name of a value has to be a word.")
                continue
            if key.value in values:
                self._complain(key, (*path, key.value), f"{quoted(key.value)} is here already, further up.")
                continue
            self._places[*path, key.value] = key.start_mark.index
            values[key.value] = self._value(inner, (*path, key.value))
        return values

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        try:
            return _READERS[node.tag](node.value)
        except (KeyError, ValueError):
            self._faulty.add(path)
            self._complain(node, path, f"{quoted(node.value)} is not what its type says.")
            return None

    def _complain(self, node: yaml.Node, path: Path, message: str) -> None:
        self.complaints.append((node.start_mark.index, message, path))


_READERS: dict[str, Callable[[str], Any]] = {
    _NULL: lambda text: None,
    _BOOL: lambda text: {"true": True, "false": False}[text.lower()],
    _INT: int,
    _FLOAT: lambda text: float(re.sub(r"\.(?=[infa])", "", text.lower())),
    _TEXT: str,
}
