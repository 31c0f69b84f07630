"""Business metrics: what the systems that know them report about the versions that serve."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import operations
from lifecycle.operations.metrics import LONGEST_KEY, LONGEST_NAME, VARIANTS
from portal.access import actor_of, model_for
from portal.api.base import APIView

LARGEST_VERSION = 2**31 - 1


class NumberField(serializers.FloatField):
    """A JSON number: the framework would take texts and true for one too."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            return float(data)
        except OverflowError:
            self.fail("invalid")


class BusinessReportSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(required=False, min_value=0, max_value=LARGEST_VERSION)
    variant = serializers.ChoiceField(required=False, choices=VARIANTS)
    metric = serializers.CharField(max_length=LONGEST_NAME)
    count = NumberField()
    sum = NumberField()
    sum_of_squares = NumberField()
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    id = serializers.CharField(required=False, max_length=LONGEST_KEY)


class BusinessMetrics(APIView):
    """The key is kept with the reports, in one transaction and for as long as they are: better than an answer kept."""

    idempotent_by_itself = True

    def post(self, request: Request, name: str) -> Response:
        """201, or 200 when all of it was counted before."""
        given = request.data if isinstance(request.data, list) else [request.data]
        body = BusinessReportSerializer(data=given, many=True)
        body.is_valid(raise_exception=True)
        reports = [_report(each) for each in body.validated_data]
        counted = operations.report_business_metrics(
            model=model_for(request, name),
            reports=reports,
            key=request.headers.get("Idempotency-Key", ""),
            actor=actor_of(request),
            now=timezone.now(),
        )
        return Response({"counted": counted, "repeated": len(reports) - counted}, status=201 if counted else 200)


def _report(body: dict[str, Any]) -> operations.BusinessReport:
    return operations.BusinessReport(
        metric=body["metric"],
        count=body["count"],
        total=body["sum"],
        squares=body["sum_of_squares"],
        version=body.get("version"),
        variant=body.get("variant", ""),
        since=body.get("since"),
        until=body.get("until"),
        key=body.get("id", ""),
    )
