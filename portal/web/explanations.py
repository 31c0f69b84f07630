"""The pictures that explain a version, as our own: a browser never loads anything from MLflow, nor a file as it is."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import get_conditional_response

from lifecycle import explanations, imaging
from portal.access import version_for
from portal.web.answers import wants_part

KEPT_SECONDS = 3_600
"""How long a browser keeps a picture without asking again; then it asks by the digest of what it has."""
BUSY_SECONDS = 3
# Even opened by itself a picture can do nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


def pictures(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    """The panel of pictures, for htmx; whoever opens the address by hand gets the version's page."""
    found = version_for(request, slug, version)
    if not wants_part(request):
        return redirect(reverse("version", args=[found.model.slug, found.version]) + "#explained")
    context: dict[str, object] = {"version": found}
    try:
        context["gallery"] = explanations.gallery(found, afresh="again" in request.GET)
    except explanations.NotFetchedError as error:
        context["error"] = str(error)
    return render(request, "versions/_pictures.html", context)


def picture(request: HttpRequest, slug: str, version: int, key: str) -> HttpResponse:
    """One picture, decoded and written anew. What cannot be shown says why, in plain text."""
    found = version_for(request, slug, version)
    try:
        about, shown = explanations.picture(found, key)
    except LookupError:
        raise Http404(f"{found.label} has no such picture any more.") from None
    except imaging.NotAPictureError as error:
        return _plain(f"This picture cannot be shown. {error}", 415)
    except explanations.NotFetchedError as error:
        return _later(f"MLflow does not give this picture just now. {error}")
    except imaging.BusyError as error:
        return _later(f"This picture is not ready. {error}")
    response = HttpResponse(shown.content, content_type=imaging.CONTENT_TYPE)
    response["Content-Disposition"] = f'inline; filename="{about.key}.webp"'
    response["Cache-Control"] = f"private, max-age={KEPT_SECONDS}"
    response["ETag"] = f'"{shown.digest}"'
    return _closed(get_conditional_response(request, etag=response["ETag"], response=response) or response)


def _later(words: str) -> HttpResponse:
    response = _plain(f"{words} Try again in a moment.", 503)
    response["Retry-After"] = str(BUSY_SECONDS)
    return response


def _plain(words: str, status: int) -> HttpResponse:
    response = HttpResponse(words, status=status, content_type="text/plain; charset=utf-8")
    response["Cache-Control"] = "no-store"
    return _closed(response)


def _closed(response: HttpResponse) -> HttpResponse:
    response["Content-Security-Policy"] = _POLICY
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["X-Content-Type-Options"] = "nosniff"
    return response
