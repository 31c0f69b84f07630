"""Putting policies in force, and withdrawing a model's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max

from lifecycle import policy_files, retention_outlook
from lifecycle.audit import record
from lifecycle.domain import policy as policy_values
from lifecycle.domain.permissions import Action, Actor
from lifecycle.domain.policy import PolicyError, Problem
from lifecycle.domain.policy_words import Change, changes
from lifecycle.models import Policy, RegisteredModel
from lifecycle.operations.common import need_reason, recorded
from lifecycle.policies import current_policy, own_policy, unsatisfiable
from lifecycle.policy_files import FileProblem, PolicyFileError
from lifecycle.transitions import RefusedError

TRIES = 5
"""How often a number is looked for when somebody else has just taken it."""
RECORDED_CHANGES = 2000
"""Characters of the difference that the record keeps; the policies themselves are kept whole."""


class PolicyRefusedError(RefusedError):
    """A policy that cannot be put in force, with every problem. Lines and columns are 0 where there is no file."""

    def __init__(self, message: str, *, rule: str, problems: Sequence[FileProblem]) -> None:
        super().__init__(message, rule=rule, status=422)
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a policy would change. ``base`` is the one in force now; ``problems`` say why nobody could satisfy it."""

    base: Policy
    changes: tuple[Change, ...]
    problems: tuple[FileProblem, ...]


def change_policy(
    *,
    model: RegisteredModel | None,
    values: policy_values.Policy | str | Any,
    reason: str,
    actor: Actor,
    now: datetime,
    expected_number: int | None = None,
) -> Policy:
    """Put a policy in force for one model, or for all when ``model`` is None, for transitions that have not begun.

    Approvals that were given under another policy are void. ``values`` is a policy, the text of a YAML file, or JSON
    values. ``expected_number`` is the policy that the change was made from: when another is in force by now, the change
    is refused.

    Raises RefusedError; PolicyRefusedError for values that cannot be obeyed or that nobody could satisfy.
    """
    with recorded(Action.CHANGE_POLICY, actor, now, model=model, reason=reason) as actor:
        wanted = _wanted(values, model)
        cleaned = need_reason(reason)
        created, base = _insert(model, wanted, cleaned, actor, now, expected_number)
        details = {
            "policy": created.number,
            "applies to": model.name if model else "all models",
            "instead of": f"policy {base.number}",
            "changes": "; ".join(map(str, changes(base.values, wanted)))[:RECORDED_CHANGES],
        }
        record("policy_changed", actor=actor, now=now, model=model, reason=cleaned, details=details)
        transaction.on_commit(retention_outlook.forget)
        return created


def withdraw_policy(
    *, model: RegisteredModel, reason: str, actor: Actor, now: datetime, expected_number: int | None = None
) -> Policy:
    """Let a model follow the policy of all models again, for transitions that have not begun. Raises RefusedError."""
    with recorded(Action.CHANGE_POLICY, actor, now, model=model, reason=reason) as actor:
        cleaned = need_reason(reason)
        created, base = _insert(model, None, cleaned, actor, now, expected_number)
        details = {
            "policy": created.number,
            "instead of": f"policy {base.number}",
            "follows": f"policy {current_policy(model, now).number} of all models",
        }
        record("policy_withdrawn", actor=actor, now=now, model=model, reason=cleaned, details=details)
        transaction.on_commit(retention_outlook.forget)
        return created


def preview_policy(*, model: RegisteredModel | None, source: str | bytes, now: datetime) -> Preview:
    """What the policy of a YAML file would change, without changing anything. Raises PolicyFileError."""
    values = policy_files.read(source)
    base = current_policy(model, now)
    return Preview(base, changes(base.values, values), policy_files.locate(source, unsatisfiable(values, model)))


# ---------------------------------------------------------------- what may be put in force


def _wanted(values: Any, model: RegisteredModel | None) -> policy_values.Policy:
    """The policy that is meant, if it can be obeyed and somebody could satisfy it."""
    try:
        read = policy_files.read(values) if isinstance(values, str) else _load(values)
    except PolicyFileError as error:
        raise PolicyRefusedError(str(error), rule="policy_file", problems=error.problems) from error
    except PolicyError as error:
        raise PolicyRefusedError(str(error), rule="policy_values", problems=_unplaced(error.problems)) from error
    nobody = unsatisfiable(read, model)
    if nobody:
        placed = policy_files.locate(values, nobody) if isinstance(values, str) else _unplaced(nobody)
        raise PolicyRefusedError(" ".join(each.message for each in nobody), rule="nobody_could", problems=placed)
    return read


def _load(values: Any) -> policy_values.Policy:
    """Values that were built in code are looked at like those that somebody sent."""
    body = policy_values.dump(values) if isinstance(values, policy_values.Policy) else values
    return policy_values.load(body)


def _unplaced(problems: Sequence[Problem]) -> tuple[FileProblem, ...]:
    return tuple(FileProblem(0, 0, problem.message, problem.path) for problem in problems)


def _check_base(base: Policy, expected_number: int | None) -> None:
    if expected_number is not None and base.number != expected_number:
        raise RefusedError(
            f"{base.created_by} has put policy {base.number} in force meanwhile (“{base.reason[:200]}”). Look at what "
            "it changed, and start again from there.",
            rule="changed_meanwhile",
        )


def _check_differs(base: Policy, wanted: policy_values.Policy) -> None:
    if base.values == wanted:
        raise RefusedError(
            f"Nothing would change: policy {base.number}, which is in force, says the same.", rule="nothing_changed"
        )


# ---------------------------------------------------------------- numbers


def _insert(
    model: RegisteredModel | None,
    wanted: policy_values.Policy | None,
    reason: str,
    actor: Actor,
    now: datetime,
    expected_number: int | None,
) -> tuple[Policy, Policy]:
    """The new policy and the one that it replaces; without values, the new one withdraws the model's own.

    Two administrators may be at it at once. The number is chosen before what is in force is read: whatever came in
    between has taken that number, which is unique, so this one finds it taken and looks again.
    """
    for _ in range(TRIES):
        number = (Policy.objects.aggregate(newest=Max("number"))["newest"] or 0) + 1
        base = _base_of_withdrawal(model) if wanted is None else current_policy(model, now)
        _check_base(base, expected_number)
        if wanted is not None:
            _check_differs(base, wanted)
        try:
            with transaction.atomic():
                return _create(number, model, wanted, reason, actor, now), base
        except IntegrityError:
            continue
    raise RefusedError("Others are changing policies at this moment; try again.", rule="changed_meanwhile")


def _base_of_withdrawal(model: RegisteredModel | None) -> Policy:
    own = own_policy(model)
    if own is None:
        raise RefusedError(
            "This model follows the policy of all models already: there is nothing to withdraw.", rule="nothing_changed"
        )
    return own


def _create(
    number: int,
    model: RegisteredModel | None,
    wanted: policy_values.Policy | None,
    reason: str,
    actor: Actor,
    now: datetime,
) -> Policy:
    return Policy.objects.create(
        number=number,
        model=model,
        body=None if wanted is None else policy_values.dump(wanted),
        reason=reason,
        created_by=actor.name,
        created_at=now,
    )
