"""Rollouts by API: where one stands, and steering it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import operations, queries_rollouts
from lifecycle.domain import compare
from lifecycle.domain.plan import dump_step
from lifecycle.models import Kind, Transition
from lifecycle.queries_rollouts import Standing, StepLine
from portal.access import actor_of, transition_for
from portal.api.base import APIView
from portal.api.serializers import ReasonSerializer, TransitionSerializer
from portal.api.views import valid


class SteerSerializer(ReasonSerializer):
    """``step`` counts from 0: a rollout that has moved on from it meanwhile is left alone."""

    step = serializers.IntegerField(min_value=0, required=False)


class RolloutDetail(APIView):
    def get(self, request: Request, pk: int) -> Response:
        return Response(_as_json(_rollout_for(request, pk), request))


class Steer(APIView):
    """Pause, resume, skip, promote or continue: ``operation`` is given by the address."""

    operation: Callable[..., Transition] = operations.pause

    def post(self, request: Request, pk: int) -> Response:
        transition = _rollout_for(request, pk)
        body = valid(SteerSerializer, request)
        changed = type(self).operation(
            transition=transition,
            step=body.get("step", transition.step),
            reason=body["reason"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        return Response(_as_json(changed, request))


class Pause(Steer):
    operation = staticmethod(operations.pause)


class Resume(Steer):
    operation = staticmethod(operations.resume)


class Skip(Steer):
    operation = staticmethod(operations.skip)


class Promote(Steer):
    operation = staticmethod(operations.promote)


class Continue(Steer):
    operation = staticmethod(operations.let_go_on)


class Abort(APIView):
    def post(self, request: Request, pk: int) -> Response:
        """202: the requests come back at once, the registry follows."""
        changed = operations.abort(
            transition=_rollout_for(request, pk),
            reason=valid(ReasonSerializer, request)["reason"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        return Response(_as_json(changed, request), status=202)


def _rollout_for(request: Request, pk: int) -> Transition:
    transition = transition_for(request, pk)
    if transition.kind != Kind.PROMOTION:
        raise NotFound(f"Transition {pk} is no rollout: it is at transitions/{pk}/.")
    return transition


def _as_json(transition: Transition, request: Request) -> dict[str, Any]:
    page = queries_rollouts.rollout_page(transition, actor_of(request), timezone.now())
    return {
        "transition": TransitionSerializer(transition).data,
        "steps": [_step(line) for line in page.steps],
        "current": page.current.number if page.current else None,
        "waiting": _waiting(transition),
        "verdict": _verdict(page.standing),
    }


def _step(line: StepLine) -> dict[str, Any]:
    return {**dump_step(line.plan), "state": line.state, "since": line.since, "until": line.until}


def _waiting(transition: Transition) -> dict[str, Any]:
    return {
        "for": transition.waiting_for,
        "until": transition.waiting_until,
        "asks_person": transition.asks_person,
        "paused": transition.paused_at is not None,
        "paused_at": transition.paused_at,
        "paused_by": transition.paused_by_name,
        "pause_reason": transition.pause_reason,
    }


def _verdict(standing: Standing | None) -> dict[str, Any] | None:
    """The latest one, with its measures; None before the first."""
    if standing is None or standing.verdict is None:
        return None
    return {
        **compare.dump(standing.verdict),
        "judged_at": standing.trial.judged_at,
        "since": standing.trial.since,
        "requests": standing.canary.requests,
        "stable_requests": standing.stable.requests,
    }
