"""docs/PEOPLE.md tells who may do what, as the table of permissions has it."""

from pathlib import Path

from lifecycle.domain.permissions import ALLOWED, IN_PERSON, OF_NO_MODEL, TEAM_ROLES, Action, Role

DOCS = Path(__file__).parents[3] / "docs" / "PEOPLE.md"


def row(action: Action) -> str:
    """ "| roll back | ML engineer, product owner, administrator | a team's too | with the scope `roll_back` |" """
    held = ALLOWED[action]
    roles = "everybody" if held == set(Role) else ", ".join(role.label for role in Role if role in held)
    team = "a team's too" if held & TEAM_ROLES else "no"
    token = "no" if action in IN_PERSON else "every token" if action == Action.VIEW else f"scope `{action.value}`"
    return f"| {action.label} | {roles} | {team} | {token} |"


def test_the_document_has_every_action_as_it_is():
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| ") and line.count("|") == 5]
    assert rows[2:] == [row(action) for action in Action]


def test_what_counts_for_everything_is_said():
    told = DOCS.read_text()
    assert all(action.label in told for action in OF_NO_MODEL)
