"""Whether the world still is as Stagegate left it: the gateway's weights, and what MLflow says of what serves.

Who changed it is not known, so nothing is put right without somebody asking for it, except while a transition is being
carried out: that one is woken and goes by its own goal.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from lifecycle import adapters
from lifecycle.audit import record, recording
from lifecycle.dispatch import wake
from lifecycle.domain.effects import serving
from lifecycle.domain.live import Shares, as_details
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.plan import Target, load_step
from lifecycle.domain.stages import STAGE_ALIASES, Stage, from_mlflow
from lifecycle.domain.words import listed
from lifecycle.models import (
    EXECUTING,
    Disagreement,
    Kind,
    MirrorState,
    ModelVersion,
    RegisteredModel,
    Status,
    Transition,
    Variant,
    VariantRole,
)
from lifecycle.ports import NotFoundError, PortError, VersionRef

logger = logging.getLogger(__name__)

REGISTRY_EVERY = timedelta(seconds=8)
"""How often MLflow is asked about one model: what changed there is seen twice, and so known, within 30 s."""
BELIEVED = timedelta(minutes=1)
"""How long the mirror's word that MLflow does not answer is believed."""
WEIGHTS, MIRRORS, STAGE, ALIAS = "weights", "mirrors", "stage", "alias"
GATEWAY, MLFLOW = "the gateway", "MLflow"
SAYS = {GATEWAY: (WEIGHTS, MIRRORS), MLFLOW: (STAGE, ALIAS)}
"""What each of the two can speak about."""
LONGEST, LONGEST_LABEL = 300, 60
STAGE_OF_ROLE = {VariantRole.PRODUCTION: Stage.PRODUCTION, VariantRole.STAGING: Stage.STAGING}
REASON = "changed outside Stagegate"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was left. ``found`` and ``expected`` are the halves of a sentence."""

    what: str
    found: str
    expected: str
    version: ModelVersion | None = None

    @property
    def key(self) -> str:
        return _key(self.what, self.version)


def look(now: datetime) -> None:
    """Compare every served model with the world, and keep the rows of what disagrees.

    A disagreement counts from the second look in a row that finds it: a transition may just have ended. What is known
    stays where the gateway or MLflow does not answer; whichever does not is left alone until the next look.
    """
    answering = {GATEWAY} if _mlflow_is_silent(now) else {GATEWAY, MLFLOW}
    concerned = Q(variants__isnull=False) | Q(disagreements__isnull=False)
    for model in RegisteredModel.objects.filter(concerned).distinct():
        try:
            _look_at(model, answering, now)
        except Exception:
            logger.exception("%s could not be compared with the world", model.slug)


def _look_at(model: RegisteredModel, answering: set[str], now: datetime) -> None:
    running = Transition.objects.filter(model=model, status__in=EXECUTING).first()
    if running is None:
        _compare(model, answering, now)
    elif running.step_since is not None:
        _keep_to_goal(running, answering, now)


def _mlflow_is_silent(now: datetime) -> bool:
    """By the mirror's last word: waiting for an MLflow that hangs would keep the judge waiting, look after look."""
    state = MirrorState.objects.first()
    if state is None or state.last_error_at is None or now - state.last_error_at > BELIEVED:
        return False
    return state.last_success_at is None or state.last_success_at < state.last_error_at


# ---------------------------------------------------------------- what should be


def main_version(model: RegisteredModel) -> ModelVersion | None:
    """Who serves Production, else who serves Staging, else who has a server; None when nobody has."""
    return main_among(Variant.objects.filter(model=model).select_related("version__model"))


def main_among(variants: Iterable[Variant]) -> ModelVersion | None:
    """As ``main_version``, of all servers of one model."""
    roles = [VariantRole.PRODUCTION, VariantRole.STAGING]
    ranked = sorted(
        variants, key=lambda each: roles.index(VariantRole(each.role)) if each.role in roles else len(roles)
    )
    return ranked[0].version if ranked else None


def target(model: RegisteredModel) -> Target:
    """The world as it was left. Without weights where the gateway is as it was left: MLflow is put right without it."""
    variants = list(Variant.objects.filter(model=model).select_related("version"))
    staged = [(variant.version.version, stage) for variant, stage in _with_stage(variants)]
    misrouted = Disagreement.objects.filter(model=model, what__in=SAYS[GATEWAY]).exists()
    return Target(
        weights=_weights(variants) if misrouted else None,
        stages=dict(staged),
        aliases={STAGE_ALIASES[stage]: version for version, stage in staged},
    )


def _weights(variants: list[Variant]) -> dict[int, int]:
    return {variant.version.version: variant.weight for variant in variants if variant.weight}


def _with_stage(variants: list[Variant]) -> Iterator[tuple[Variant, Stage]]:
    for variant in variants:
        stage = STAGE_OF_ROLE.get(VariantRole(variant.role))
        if stage is not None:
            yield variant, stage


# ---------------------------------------------------------------- what is


def _compare(model: RegisteredModel, answering: set[str], now: datetime) -> None:
    variants = list(Variant.objects.filter(model=model).select_related("version"))
    asked = [GATEWAY, MLFLOW] if _registry_is_due(model, now) else [GATEWAY]
    heard: list[str] = []
    found: list[Difference] = []
    shares = Shares()
    for side in asked:
        if side not in answering:
            continue
        try:
            if side == GATEWAY:
                shares = _shared_out(model)
            found += _at_gateway(model, variants, shares) if side == GATEWAY else _in_registry(model, variants)
            heard.append(side)
        except PortError as error:
            answering.discard(side)
            logger.info("%s cannot be compared: %s does not answer: %s", model.slug, side, error)
    if MLFLOW in heard or (heard and _is_news(model, found)):
        _keep(model, heard, {each.key: each for each in found}, shares, now)


def _is_news(model: RegisteredModel, found: list[Difference]) -> bool:
    """Whether there is anything to write: most looks find what the look before them found, nothing."""
    return bool(found or model.suspicions) or Disagreement.objects.filter(model=model).exists()


def _registry_is_due(model: RegisteredModel, now: datetime) -> bool:
    if model.compared_at is None or now - model.compared_at >= REGISTRY_EVERY:
        return True
    return any(suspicion.startswith((STAGE, ALIAS)) for suspicion in model.suspicions)


def _shared_out(model: RegisteredModel) -> Shares:
    """How the gateway shares requests out. Raises PortError."""
    traffic = adapters.traffic()
    return Shares(serving(traffic.weights(model.slug)), serving(traffic.mirrors(model.slug)))


def _at_gateway(model: RegisteredModel, variants: list[Variant], seen: Shares) -> list[Difference]:
    differences = []
    if seen.weights != _weights(variants):
        found = f"The gateway sends {_shares(model, seen.weights)}"
        differences.append(Difference(WEIGHTS, found, f"Stagegate left {_shares(model, _weights(variants))}"))
    if seen.copies:
        found = f"The gateway copies {_shares(model, seen.copies)}"
        differences.append(Difference(MIRRORS, found, "no rollout asks for it"))
    return differences


def _shares(model: RegisteredModel, weights: Mapping[int, int]) -> str:
    labels = {each.version: _label(each) for each in model.versions.filter(version__in=list(weights))}
    heaviest_first = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    shares = [f"{share} % of requests to {labels.get(number, f'version {number}')}" for number, share in heaviest_first]
    return listed(shares) or "no requests to any version"


def _label(version: ModelVersion) -> str:
    return version.label[:LONGEST_LABEL]


def _in_registry(model: RegisteredModel, variants: list[Variant]) -> list[Difference]:
    """Raises PortError."""
    try:
        aliases = adapters.registry().model(model.name).aliases
    except NotFoundError:
        aliases = {}
    differences = []
    for variant, stage in _with_stage(variants):
        differences += _of_version(model, variant.version, stage)
        holder = aliases.get(STAGE_ALIASES[stage])
        if holder != variant.version.version:
            differences.append(_of_alias(model, variant.version, stage, holder))
    return differences


def _of_version(model: RegisteredModel, version: ModelVersion, stage: Stage) -> list[Difference]:
    label, expected = _label(version), f"Stagegate serves it as {stage}"
    try:
        seen = adapters.registry().version(VersionRef(model.name, version.version))
    except NotFoundError:
        return [Difference(STAGE, f"MLflow no longer has {label}", expected, version)]
    if from_mlflow(seen.stage) == stage:
        return []
    return [Difference(STAGE, f"MLflow has {label} in {from_mlflow(seen.stage)}", expected, version)]


def _of_alias(model: RegisteredModel, version: ModelVersion, stage: Stage, holder: int | None) -> Difference:
    alias, expected = STAGE_ALIASES[stage], f"Stagegate left it on {_label(version)}"
    if holder is None:
        return Difference(ALIAS, f"No version has the alias “{alias}” in MLflow", expected, version)
    known = model.versions.filter(version=holder).first()
    named = _label(known) if known else f"version {holder}"
    return Difference(ALIAS, f"MLflow has the alias “{alias}” on {named}", expected, version)


# ---------------------------------------------------------------- what is kept of it


def _keep(
    model: RegisteredModel, heard: list[str], found: Mapping[str, Difference], shares: Shares, now: datetime
) -> None:
    """Bring the rows in line, unless somebody has executed a transition of the model meanwhile.

    ``shares`` is how the gateway, if it was heard, shares requests out: the record keeps it, as who served when is read
    from there.
    """
    kinds = [kind for side in heard for kind in SAYS[side]]
    with recording():
        fresh = RegisteredModel.objects.select_for_update().get(pk=model.pk)
        if fresh.fence != model.fence or Transition.objects.filter(model=model, status__in=EXECUTING).exists():
            return
        rows = Disagreement.objects.filter(model=model, what__in=kinds).select_related("version")
        known = {_key(row.what, row.version): row for row in rows}
        for key in known.keys() - found.keys():
            _forget(known[key], shares, now)
        for key in known.keys() & found.keys():
            _update(known[key], found[key], shares, now)
        for key in found.keys() - known.keys():
            if key in fresh.suspicions:
                _add(model, found[key], shares, now)
        elsewhere = [each for each in fresh.suspicions if each.partition(":")[0] not in kinds]
        unsure = sorted(key for key in found if key not in known and key not in fresh.suspicions)
        _note(fresh, [*elsewhere, *unsure], now if MLFLOW in heard else fresh.compared_at)


def _key(what: str, version: ModelVersion | None) -> str:
    return f"{what}:{version.version if version else ''}"


def _add(model: RegisteredModel, difference: Difference, shares: Shares, now: datetime) -> None:
    row = Disagreement.objects.create(
        model=model,
        version=difference.version,
        what=difference.what,
        expected=difference.expected[:LONGEST],
        found=difference.found[:LONGEST],
        since=now,
    )
    _record("disagreement_found", row, shares, now)


def _update(row: Disagreement, difference: Difference, shares: Shares, now: datetime) -> None:
    expected, found = difference.expected[:LONGEST], difference.found[:LONGEST]
    if (expected, found) == (row.expected, row.found):
        return
    row.expected, row.found = expected, found
    row.save(update_fields=["expected", "found"])
    _record("disagreement_changed", row, shares, now)


def _forget(row: Disagreement, shares: Shares, now: datetime) -> None:
    _record("disagreement_gone", row, shares, now)
    row.delete()


def _record(action: str, row: Disagreement, shares: Shares, now: datetime) -> None:
    seen = as_details(shares.weights, shares.copies) if row.what in SAYS[GATEWAY] else {}
    details = {"what": row.what, "found": row.found, "expected": row.expected, **seen}
    record(action, actor=STAGEGATE, now=now, model=row.model, version=row.version, reason=REASON, details=details)


def _note(model: RegisteredModel, suspicions: list[str], compared_at: datetime | None) -> None:
    if (suspicions, compared_at) != (model.suspicions, model.compared_at):
        RegisteredModel.objects.filter(pk=model.pk).update(suspicions=suspicions, compared_at=compared_at)


# ---------------------------------------------------------------- while a transition is carried out


def _keep_to_goal(running: Transition, answering: set[str], now: datetime) -> None:
    """Wake the transition when the gateway is not where it left it: the engine works towards its goal again."""
    if GATEWAY not in answering:
        return
    variants = list(Variant.objects.filter(model=running.model_id).select_related("version"))
    traffic = adapters.traffic()
    try:
        weights, copied = serving(traffic.weights(running.model.slug)), serving(traffic.mirrors(running.model.slug))
    except PortError as error:
        answering.discard(GATEWAY)
        logger.info("%s cannot be compared: %s does not answer: %s", running.model.slug, GATEWAY, error)
        return
    if (weights, copied) == (_weights(variants), _copies(running)):
        return
    same = Transition.objects.filter(pk=running.pk, status=running.status, step_since=running.step_since)
    if same.update(due_at=now) == 1:
        wake(running.pk, urgent=True)


def _copies(running: Transition) -> dict[int, int]:
    """The mirrors that the current step of a promotion wants."""
    forward = running.kind == Kind.PROMOTION and running.status == Status.RUNNING
    if not forward or running.step >= len(running.steps):
        return {}
    step = load_step(running.steps[running.step])
    return {running.version.version: step.mirror} if step.mirror else {}
