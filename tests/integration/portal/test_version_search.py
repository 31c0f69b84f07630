"""Searching versions by MLflow's filters: by page and by API, on the mirror."""

from urllib.parse import parse_qs, urlsplit

import pytest
from django.urls import reverse

from lifecycle import mirror, version_search
from lifecycle.domain.stages import Stage
from lifecycle.models import ModelVersion, RegisteredModel
from lifecycle.ports import VersionRef

API = "/api/v1/versions/"


def found(text):
    return [(row.model.name, row.version) for row in version_search.matching(text)]


@pytest.fixture
def tagged(world):
    """Three versions of iris as ``world`` has them, and three of wine with awkward tags."""
    tags = [
        {"environment": "production", "2024": "y", "data version": "2024-01-15", "q\"uo'te": "[*]%"},
        {"environment": "Production", "ключ": "значение"},
        {"environment": "staging"},
    ]
    for each in tags:
        world.registry.add_version("wine", tags=each)
    world.registry.set_stage(VersionRef("wine", 1), "Production")
    world.registry.set_alias("wine", "champion", 2)
    mirror.full_pass(world.registry, world.now)
    return world


CASES = [
    ("tags.environment = 'production'", {1}),
    ("tags.environment != 'production'", {2, 3}),
    ("tags.environment LIKE 'prod%'", {1}),
    ("tags.environment ILIKE 'prod%'", {1, 2}),
    ("tags.environment LIKE '_roduction'", {1, 2}),
    ("tags.`2024` = 'y'", {1}),
    ("tags.`data version` = '2024-01-15' AND version_number < 2", {1}),
    ("tags.`q\"uo'te` LIKE '[*]%'", {1}),
    ("tags.`q\"uo'te` LIKE '%*%'", {1}),
    ("tags.`q\"uo'te` LIKE '?%'", set()),
    ("tags.`ключ` = 'значение'", {2}),
    ("tags.absent != 'x'", set()),
    ("name IN ('wine', 'beer')", {1, 2, 3}),
    ("name NOT IN ('iris')", {1, 2, 3}),
    ("name ILIKE 'W%' AND version_number >= 2", {2, 3}),
    ("stage = 'Production'", {1}),
    ("name = 'wine' AND stage != 'Production'", {2, 3}),
    ("alias = 'champion'", {2}),
    ("run_id = 'none'", set()),
]


@pytest.mark.parametrize(("text", "versions"), CASES)
def test_a_filter_finds_what_it_says(tagged, text, versions):
    assert set(found(text)) == {("wine", version) for version in versions}


def test_what_mlflow_no_longer_has_is_not_found(tagged):
    tagged.registry.delete_version(VersionRef("wine", 1))
    mirror.full_pass(tagged.registry, tagged.now)
    assert found("tags.environment = 'production'") == []


def test_the_page_shows_who_brought_a_version_where_it_is(tagged, signed_in):
    tagged.in_production(1)
    page = signed_in("aron").get(reverse("versions"), {"filter": "name = 'iris' AND stage = 'Production'"})
    (row,) = page.context["rows"]
    assert (row.brought.by, row.brought.to_stage, row.aliases) == ("emil", "Production", ("production",))
    assert set(row.brought.approved_by) == {"mia", "priya"}
    assert reverse("transition", args=[row.brought.transition]) in page.content.decode()
    tagged.registry.set_stage(VersionRef("wine", 3), "Archived")
    mirror.refresh_version(tagged.registry, VersionRef("wine", 3), tagged.now)
    (row,) = (
        signed_in("aron").get(reverse("versions"), {"filter": "name = 'wine' AND stage = 'Archived'"}).context["rows"]
    )
    assert (row.brought.by, row.brought.to_stage) == ("MLflow", Stage.ARCHIVED)


def test_a_filter_that_cannot_be_read_says_where(tagged, signed_in):
    text = "tags.environment = <script>"
    page = signed_in("aron").get(reverse("versions"), {"filter": text})
    assert page.status_code == 422
    assert "At character 20" in page.content.decode()
    assert "<script>" not in page.content.decode().split("<main")[1]
    answer = signed_in("aron").get(API, {"filter": text})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:stagegate:filter")


def test_the_examples_can_be_followed(tagged, signed_in):
    aron = signed_in("aron")
    for _, text in version_search.EXAMPLES:
        assert aron.get(reverse("versions"), {"filter": text}).status_code == 200, text


def test_the_api_pages_through_many_versions(tagged, signed_in):
    model = RegisteredModel.objects.get(name="wine")
    rows = [ModelVersion(model=model, version=number, tags={"batch": str(number % 7)}) for number in range(10, 10_010)]
    ModelVersion.objects.bulk_create(rows, batch_size=1000)
    aron, seen, query = signed_in("aron"), [], {"filter": "tags.batch = '3'", "limit": "500"}
    while query:
        page = aron.get(API, query).json()
        seen += [each["version"]["version"] for each in page["results"]]
        query = (
            {name: values[0] for name, values in parse_qs(urlsplit(page["next"]).query).items()}
            if page["next"]
            else None
        )
    assert seen == [number for number in range(10_009, 9, -1) if number % 7 == 3]
    html = aron.get(reverse("versions"), {"filter": "tags.batch = '3'", "page": "2"})
    assert (html.context["page"].paginator.count, len(html.context["rows"])) == (1000, 25)
    assert "More than" in html.content.decode()
