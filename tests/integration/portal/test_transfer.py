"""What a first visit costs, and where the chart library is asked for."""

import gzip
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders

from lifecycle.models import Policy
from tests.support import rollouts
from tests.support.asked import asked, reported

MOST = 400_000
"""Bytes of the front page and all that it asks for, compressed."""
LIBRARY = "vendor/plotly/"
ADDRESS = re.compile(rf'(?:href|src)="{re.escape(settings.STATIC_URL)}([^"#?]+)')


def files_of(page: str) -> list[str]:
    """What a page asks for, as often as it does; the sprite once, however many pictures are taken of it."""
    found = ADDRESS.findall(page)
    return [each for each in found if not each.startswith("icons/")] + sorted(
        {e for e in found if e.startswith("icons/")}
    )


def compressed(content: bytes) -> int:
    return len(gzip.compress(content, 6))


def test_a_first_visit_is_small(world, signed_in):
    asked(world)
    page = signed_in("priya").get("/").content
    files = files_of(page.decode())
    assert {"css/tokens.css", "js/app.js", "icons/sprite.svg"} <= set(files)
    sizes = {each: compressed(Path(finders.find(each)).read_bytes()) for each in files}
    assert compressed(page) + sum(sizes.values()) < MOST, sizes


@pytest.mark.parametrize(
    "address",
    ["/", "/inbox/", "/models/", "/models/iris/", "/policies/", "/freezes/", "/retention/", "/record/", "/account/"],
)
def test_pages_without_charts_do_without_the_library(world, signed_in, address):
    asked(world)
    assert libraries(signed_in("priya").get(address)) == []


def test_pages_with_charts_ask_for_the_library_once(world, signed_in):
    series = {"series": [[1, 40, 0, 0.02, 0.03, 4], [2, 90, 1, 0.021, 0.04, 8]]}
    evidence = reported(world, "load_test", origin="check", measurements=series)
    row = rollouts.running(world.version(2), world.version(1), Policy.objects.get(), world.now)
    browser = signed_in("priya")
    assert len(libraries(browser.get(f"/models/iris/versions/2/evidence/{evidence.pk}/"))) == 1
    assert len(libraries(browser.get(f"/transitions/{row.pk}/"))) == 1


def libraries(response) -> list[str]:
    assert response.status_code == 200
    return [each for each in files_of(response.content.decode()) if each.startswith(LIBRARY)]
