"""Semantic versions over the API: what Stagegate says of one, and accepting its proposal."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import operations
from lifecycle.domain.semver import Base, Verdict
from lifecycle.domain.signatures import Change
from lifecycle.models import ModelVersion
from lifecycle.versions import semantic_version_of
from portal.access import actor_of, version_for
from portal.api.base import APIView

CHANGES_SHOWN = 1000
"""A signature can have thousands of columns, and all of them can have changed."""


class AcceptSerializer(serializers.Serializer[Any]):
    semantic_version = serializers.CharField(max_length=100)


class SemanticVersion(APIView):
    def get(self, request: Request, name: str, version: int) -> Response:
        return Response(_as_json(version_for(request, name, version)))

    def post(self, request: Request, name: str, version: int) -> Response:
        found = version_for(request, name, version)
        body = AcceptSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        named = operations.accept_semantic_version(
            version=found,
            proposed=body.validated_data["semantic_version"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        return Response(_as_json(named))


def _as_json(version: ModelVersion) -> dict[str, Any]:
    verdict = semantic_version_of(version)
    return {
        "model": version.model.name,
        "version": version.version,
        "semantic_version": version.semantic_version,
        "state": verdict.state,
        "measured": verdict.measured,
        "wanted": verdict.wanted,
        "why": verdict.why,
        "required": verdict.required.name if verdict.required else None,
        "proposal": verdict.proposal or None,
        "base": _base(verdict.base),
        **_difference(verdict),
    }


def _base(base: Base | None) -> dict[str, Any] | None:
    return {"version": base.version, "semantic_version": str(base.number)} if base else None


def _difference(verdict: Verdict) -> dict[str, Any]:
    """The first ``CHANGES_SHOWN`` changes, the gravest first, and how many there are in all."""
    found = verdict.difference
    return {
        "changes": [_change(change) for change in found.changes[:CHANGES_SHOWN]] if found else [],
        "changed": len(found.changes) if found else 0,
        "unchanged": found.unchanged if found else 0,
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "part": change.part,
        "name": change.name,
        "before": change.before or None,
        "after": change.after or None,
        "what": change.what,
        "required": change.bump.name,
    }
