"""Models that serve, without anybody having driven them there: rows and twins that agree."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from lifecycle import mirror
from lifecycle.domain.stages import STAGE_ALIASES, Stage
from lifecycle.models import Kind, Policy, Status, Strategy, Transition, Variant, VariantRole
from lifecycle.ports import Backend, VersionRef
from tests.support.world import NAME, POLICY, World

WARM_WINDOW = timedelta(seconds=POLICY["warm_window"])
STAGES = {VariantRole.PRODUCTION: Stage.PRODUCTION, VariantRole.STAGING: Stage.STAGING}


def promoted(world: World, *numbers: int) -> None:
    """These entered Production, one after the other, each a minute before the next."""
    for number in numbers:
        _row(world, number, Stage.PRODUCTION)
        world.pass_time(minutes=1)


def _row(world: World, number: int, stage: Stage) -> Transition:
    return Transition.objects.create(
        model=world.model,
        version=world.version(number),
        kind=Kind.PROMOTION,
        from_stage=Stage.STAGING,
        to_stage=stage,
        strategy=Strategy.DIRECT,
        status=Status.FINISHED,
        reason="test",
        policy=Policy.objects.latest("number"),
        requested_by_name="test",
        requested_at=world.now,
        finished_at=world.now,
        due_at=world.now,
    )


def serves(world: World, weights: Mapping[int, int], roles: Mapping[int, VariantRole]) -> None:
    """The versions of ``weights`` have servers and these weights, those of ``roles`` these roles, and all agree."""
    for number, weight in weights.items():
        role = roles.get(number, VariantRole.NONE)
        ref = VersionRef(NAME, number)
        world.serving.ensure(ref, slug=NAME)
        url = world.serving.status(ref, slug=NAME).url
        Variant.objects.create(
            model=world.model,
            version=world.version(number),
            role=role,
            url=url,
            weight=weight,
            weight_since=world.now,
            idle_since=None if weight else world.now,
            warm_until=world.now + WARM_WINDOW if role == VariantRole.WARM else None,
        )
        if role in STAGES:
            world.registry.set_stage(ref, STAGES[role].value)
            world.registry.set_alias(NAME, STAGE_ALIASES[STAGES[role]], number)
    backends = tuple(Backend(each.version.version, each.url, each.weight) for each in world.model.variants.all())
    world.traffic.apply(NAME, backends, fence=0)
    mirror.full_pass(world.registry, world.now)
    for number, role in roles.items():
        if role == VariantRole.STAGING:
            _row(world, number, Stage.STAGING)


def staged(world: World) -> None:
    """1.0.0 serves Production, and 1.1.0 a tenth of the requests in Staging."""
    promoted(world, 1)
    serves(world, {1: 90, 2: 10}, {1: VariantRole.PRODUCTION, 2: VariantRole.STAGING})


def production(world: World) -> None:
    """1.0.0 and then 1.1.0 entered Production; 1.1.0 serves, and 1.0.0 is kept warm."""
    promoted(world, 1, 2)
    serves(world, {1: 0, 2: 100}, {1: VariantRole.WARM, 2: VariantRole.PRODUCTION})
