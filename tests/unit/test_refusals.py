"""Every refusal that is written down says what to do: in an imperative, or that there is nothing to do."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RAISED = {"RefusedError", "NotAllowedError", "ApprovalRefusedError"}
VERBS = (
    "ask|add|approve|bring|cancel|choose|create|decide|do|drill|end|finish|fulfil|give|grant|have|leave|let|link|look|"
    "make|name|promote|put|read|register|release|rename|resume|revoke|roll|say|shorten|show|sign|start|stop|take|try|"
    "wait|watch|write|archive|open|record|replace|change|deactivate|review"
)
NOTHING_TO_DO = (
    "nothing (?:is left |is to be |would |to |can use)|somebody else (?:has to|reviews)|has to be|has to come|at most"
    "|are kept apart|keeps this|it moves without|holds nothing|by itself"
)
WHAT_TO_DO = re.compile(rf"(?:^|[.;:,…] )(?:or |and |then )?(?:{VERBS})\b|{NOTHING_TO_DO}", re.IGNORECASE)


def messages() -> Iterator[tuple[str, str]]:
    """Where a refusal is written down, and its sentence; "…" stands for what is filled in."""
    looked = [*(ROOT / "lifecycle").rglob("*.py"), *(ROOT / "portal").rglob("*.py")]
    for path in sorted(each for each in looked if "adapters" not in each.parts):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in RAISED and node.args:
                text = _text(node.args[0]).strip()
                if text.strip("… "):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return "…"


FOUND = dict(messages())


def test_there_are_refusals_to_look_at():
    assert len(FOUND) > 100


@pytest.mark.parametrize("where", FOUND)
def test_a_refusal_says_what_to_do(where):
    assert WHAT_TO_DO.search(FOUND[where]), FOUND[where]
    assert FOUND[where].endswith((".", "…"))
