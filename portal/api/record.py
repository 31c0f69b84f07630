"""Taking the record out over the API."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.http import content_disposition_header
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from lifecycle import exports, operations
from lifecycle.domain.exporting import ExportFormat
from lifecycle.domain.permissions import NotAllowedError
from portal.access import actor_of
from portal.api.base import APIView
from portal.filters import ExportForm, RecordForm

OWN_PAGES = ("same-origin", "none")
"""What a browser says of a request that no other site has led to."""


class ByParameter(BaseContentNegotiation):
    """The format is a parameter of what is asked for; refusals are JSON, whatever it is."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class ExportOfRecord(APIView):
    """Streams the entries that match, oldest first. A stream that was cut off has no end as HTTP knows it."""

    # HEAD would record an export that nobody gets.
    http_method_names = ("get", "options")
    content_negotiation_class = ByParameter

    def get(self, request: Request) -> StreamingHttpResponse:
        _need_own_page(request)
        wanted, asked = _valid(RecordForm(request.GET)), _valid(ExportForm(request.GET))
        form = ExportFormat(asked.cleaned_data["format"])
        bounded = operations.export_record(
            wanted=wanted.wanted(),
            form=form,
            reason=asked.cleaned_data["reason"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        name = f"stagegate-record-to-{bounded.last_seq}.{form}"
        return StreamingHttpResponse(
            exports.stream(bounded, form),
            content_type=form.media_type,
            headers={
                "Content-Disposition": content_disposition_header(as_attachment=True, filename=name),
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            },
        )


def _need_own_page(request: Request) -> None:
    """A link on somebody else's page must not put an export into the record under the name of whoever follows it."""
    if request.auth is None and request.headers.get("Sec-Fetch-Site", "none") not in OWN_PAGES:
        raise NotAllowedError("Another site has led here. Open the record in Stagegate, and export it there.")


def _valid(form: Any) -> Any:
    if not form.is_valid():
        raise ValidationError({name: [str(each) for each in form.errors[name]] for name in form.errors})
    return form
