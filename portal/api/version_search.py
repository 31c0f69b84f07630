"""Searching for model versions by MLflow's filters."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from lifecycle import version_search
from lifecycle.domain.version_filter import FilterError
from lifecycle.models import ModelVersion
from lifecycle.operations import RefusedError
from portal.api.base import ListAPIView
from portal.api.pagination import Newest
from portal.api.serializers import VersionSerializer


class BroughtSerializer(serializers.Serializer[Any]):
    by = serializers.CharField(help_text="Who asked for it; MLflow where it was changed there.")
    approved_by = serializers.ListField(child=serializers.CharField())
    at = serializers.DateTimeField()
    to_stage = serializers.CharField()
    transition = serializers.IntegerField(allow_null=True)
    seq = serializers.IntegerField(help_text="The entry of the record that says so.")


class FoundSerializer(serializers.Serializer[Any]):
    version = VersionSerializer()
    aliases = serializers.ListField(child=serializers.CharField())
    brought = BroughtSerializer(
        allow_null=True, help_text="How it came to its stage, by the record; null where the record does not say."
    )


FILTER = (
    "As MLflow's search_model_versions takes it: conditions joined by AND. Keys: name, version_number, run_id, "
    "source_path, tags.KEY; and besides stage and alias. Comparators: =, !=, LIKE, ILIKE, IN, NOT IN, and <, <=, >, >= "
    "for version_number. Without a filter, every version."
)
"""What ``?filter=`` is."""


class Versions(ListAPIView[ModelVersion]):
    """The versions of all models that a filter matches, newest first."""

    serializer_class = FoundSerializer
    pagination_class = Newest

    def get_queryset(self) -> QuerySet[ModelVersion]:
        try:
            return version_search.matching(self.request.query_params.get("filter", ""))
        except FilterError as error:
            raise RefusedError(str(error), rule="filter", status=422) from error

    def paginate_queryset(self, queryset: Any) -> Any:
        page = super().paginate_queryset(queryset)
        return None if page is None else version_search.described(list(page))
