"""Headers and the viewer's time zone, for every page."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_vary_headers

Handler = Callable[[HttpRequest], HttpResponse]
TIME_ZONE_COOKIE = "stagegate_tz"


class PageHeaders:
    """An address answers htmx with a part of the page: a browser's cache must keep the two apart.

    Over HTTPS, browsers are also told where the content security policy's ``report-to`` is.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if settings.HTTPS:
            response.headers.setdefault("Reporting-Endpoints", 'csp="/csp-report/"')
        patch_vary_headers(response, ("HX-Request",))
        return response


class ViewerTimeZone:
    """Show times in the zone the person has set, else in the one their browser reports in a cookie."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self.known = available_timezones()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        wanted = getattr(request.user, "time_zone", "") or request.COOKIES.get(TIME_ZONE_COOKIE, "")
        with timezone.override(ZoneInfo(wanted) if wanted in self.known else None):
            return self.get_response(request)
