"""Lists come in pages by cursor."""

import base64

import pytest

from lifecycle.domain.criteria import Criterion
from lifecycle.models import Evidence


@pytest.fixture
def many(world):
    """Evidence numbered 1 to 5."""
    return [
        Evidence.objects.create(
            version=world.version(1),
            criterion=Criterion.UNIT_TESTS,
            passed=True,
            origin="ci",
            recorded_by="ci",
            recorded_at=world.now,
        ).pk
        for _ in range(5)
    ]


def pages(browser, address):
    while address:
        page = browser.get(address).json()
        yield [row["id"] for row in page["results"]]
        address = page["next"]


ADDRESS = "/api/v1/models/iris/versions/1/evidence/"


def test_following_next_gives_every_row_once(many, signed_in):
    newest = sorted(many, reverse=True)
    assert list(pages(signed_in("aron"), f"{ADDRESS}?limit=2")) == [newest[:2], newest[2:4], newest[4:]]


def test_a_page_stays_right_while_rows_are_added(world, many, signed_in):
    aron = signed_in("aron")
    first = aron.get(f"{ADDRESS}?limit=2").json()
    row = Evidence.objects.get(pk=many[0])
    row.pk = None
    row.save()
    second = aron.get(first["next"]).json()
    assert [each["id"] for each in second["results"]] == [many[2], many[1]]
    back = aron.get(second["previous"]).json()
    assert [each["id"] for each in back["results"]] == [many[4], many[3]]


def cursor(text):
    return base64.b64encode(text.encode()).decode().replace("=", "%3D")


@pytest.mark.parametrize(
    "wrong",
    [
        "cursor=x",
        "cursor=%E2%82%AC",
        f"cursor={cursor('p=abc')}",
        f"cursor={cursor('p=1.5e9')}",
        f"cursor={cursor('p=' + '9' * 50)}",
        f"cursor={cursor('p=' + '9' * 5000)}",
        f"cursor={cursor('p=1&o=-1')}",
        f"cursor={cursor('p=1&o=x')}",
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=ten",
        "limit=",
        "limit=%D9%A3",
    ],
)
def test_a_page_that_nobody_gave_out_is_refused(many, signed_in, wrong):
    response = signed_in("aron").get(f"{ADDRESS}?{wrong}")
    assert (response.status_code, response.json()["type"]) == (400, "urn:stagegate:page")


def test_a_cursor_of_a_list_by_name(world, signed_in):
    response = signed_in("aron").get(f"/api/v1/models/?cursor={cursor('p=h')}")
    assert [row["name"] for row in response.json()["results"]] == ["iris"]
    response = signed_in("aron").get(f"/api/v1/models/?cursor={cursor('p=h%00')}")
    assert response.status_code == 400
