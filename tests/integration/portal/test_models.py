"""The list of models and the page of one: what is found, in which order, by which address, and what they show."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from lifecycle import mirror
from lifecycle.domain.stages import Stage
from lifecycle.models import Disagreement, MirrorState, ModelIndex, ModelTag, RegisteredModel, Team, Transition
from lifecycle.ports import VersionDetails, VersionRef
from portal.accounts.models import RoleAssignment, User
from tests.support.served import production, staged

MOST_QUERIES = 12


@pytest.fixture
def many(world):
    """Besides iris: three models of two teams and of nobody, of two frameworks, with tags."""
    registry = world.registry
    registry.add_model("Fraud-Rules", description="Stops stolen cards.", tags={"domain": "cards", "a:b": "c:d"})
    registry.add_model("churn", description="Who leaves?", tags={"domain": "people"})
    registry.add_model("empty", tags={"domain": "cards"})
    for _ in range(4):
        registry.add_version("churn", details=VersionDetails(flavors=("python_function", "xgboost")))
    registry.add_version("Fraud-Rules", stage="Staging", tags={"framework": "pytorch"})
    mirror.full_pass(registry, world.now)
    mirror.fill_details(registry, 50, world.now)
    team = Team.objects.create(name="Risk", slug="risk")
    RegisteredModel.objects.filter(name="Fraud-Rules").update(team=team)
    return world


def shown(response) -> list[str]:
    return [row.model.name for row in response.context["rows"]]


LISTS = {
    "": ["churn", "empty", "Fraud-Rules", "iris"],
    "search=FRAUD": ["Fraud-Rules"],
    "search=cards+stolen": ["Fraud-Rules"],
    "search=cards+leaves": [],
    "search=people": ["churn"],
    "search=%25": [],
    "stage=Staging": ["Fraud-Rules"],
    "stage=Nonsense": ["churn", "empty", "Fraud-Rules", "iris"],
    "tag=domain": ["churn", "empty", "Fraud-Rules"],
    "tag=domain:cards": ["empty", "Fraud-Rules"],
    "tag=domain:cards&tag=a:b": ["Fraud-Rules"],
    "tag=a:b:c:d": ["Fraud-Rules"],
    "tag=domain:car": [],
    "team=risk": ["Fraud-Rules"],
    "team=-": ["churn", "empty", "iris"],
    "team=no-such-team": [],
    "framework=xgboost": ["churn"],
    "framework=pytorch": ["Fraud-Rules"],
    "under_way=yes": ["iris"],
    "unhealthy=yes": ["churn"],
    "search=i&stage=Development&team=-&sort=-versions": ["iris"],
    "sort=-name": ["iris", "Fraud-Rules", "empty", "churn"],
    "sort=-newest": ["Fraud-Rules", "churn", "iris", "empty"],
    "sort=newest": ["iris", "churn", "Fraud-Rules", "empty"],
    "sort=-versions": ["churn", "iris", "Fraud-Rules", "empty"],
    "sort=versions": ["empty", "Fraud-Rules", "iris", "churn"],
}


def test_pages_and_api_find_the_same(many, signed_in):
    many.request(1, Stage.STAGING)
    churn = RegisteredModel.objects.get(name="churn")
    Disagreement.objects.create(model=churn, what="weights", expected="nothing", found="all of it", since=many.now)
    aron = signed_in("aron")
    pages = {asked: shown(aron.get(f"/models/?{asked}")) for asked in LISTS}
    assert pages == LISTS
    answers = {asked: aron.get(f"/api/v1/models/?{asked}").json()["results"] for asked in LISTS}
    assert {asked: [model["name"] for model in found] for asked, found in answers.items()} == LISTS


@pytest.mark.parametrize("sort", ["name", "-name", "newest", "-newest", "versions", "-versions"])
def test_a_cursor_goes_through_all_models_that_are_alike(world, signed_in, sort):
    for number in range(20):
        world.registry.add_version(f"model-{number:02}")
    mirror.full_pass(world.registry, world.now)
    RegisteredModel.objects.filter(name="iris").update(description="as it was")
    ModelIndex.objects.filter(slug__gte="model-05").update(newest_version_at=world.now, version_count=1)
    ModelIndex.objects.filter(slug="model-03").update(newest_version_at=None, version_count=0)
    aron, found = signed_in("aron"), []
    address = f"/api/v1/models/?sort={sort}&limit=4"
    while address:
        page = aron.get(address).json()
        found += [model["name"] for model in page["results"]]
        back = page["previous"]
        address = page["next"]
    assert len(found) == len(set(found)) == 21
    if sort.endswith("versions"):
        counts = dict(ModelIndex.objects.values_list("model__name", "version_count"))
        told = [counts[name] for name in found]
        assert told == sorted(told, reverse=sort.startswith("-"))
    before_last = aron.get(back).json()["results"]
    assert [model["name"] for model in before_last] == found[-5:-1] or before_last[-1]["name"] in found[:-1]


def test_a_list_has_one_address_and_its_filters_can_be_taken_away(many, signed_in):
    aron = signed_in("aron")
    response = aron.get("/models/?search=card&stage=Staging&tag=domain&add_tag=a:b&team=&page=")
    assert response.status_code == 302
    assert parse_qs(urlsplit(response["Location"]).query) == {
        "search": ["card"],
        "stage": ["Staging"],
        "tag": ["domain", "a:b"],
    }
    body = html.unescape(aron.get(response["Location"]).content.decode())
    chips = re.findall(r'<a class="chip" href="([^"]*)">', body)
    assert [parse_qs(chip[1:]) for chip in chips] == [
        {"stage": ["Staging"], "tag": ["domain", "a:b"]},
        {"search": ["card"], "tag": ["domain", "a:b"]},
        {"search": ["card"], "stage": ["Staging"], "tag": ["a:b"]},
        {"search": ["card"], "stage": ["Staging"], "tag": ["domain"]},
    ]
    assert 'class="chip-clear" href="?"' in body
    assert '<option value="domain:cards">' in body


def test_a_search_exchanges_the_rows_and_keeps_the_address(many, signed_in):
    part = signed_in("aron").get("/models/?search=fraud&stage=&sort=-newest", headers={"HX-Request": "true"})
    assert part["HX-Replace-Url"] == "/models/?search=fraud&sort=-newest"
    body = part.content.decode()
    assert "<html" not in body
    assert 'hx-swap-oob="innerHTML"' in body
    assert "1 model matches" in body


def test_headings_sort_and_say_so(many, signed_in):
    body = signed_in("aron").get("/models/?search=r&sort=-newest").content.decode()
    heads = re.findall(r'<th scope="col"\s*(?:class="number")?\s*(?:aria-sort="(\w+)")?>\s*<a[^>]*href="([^"]*)"', body)
    assert [(order, html.unescape(address)) for order, address in heads] == [
        ("", "?search=r"),
        ("descending", "?search=r&sort=newest"),
        ("", "?search=r&sort=-versions"),
    ]


def test_a_line_says_what_is_in_each_stage_and_who_owns_it(world, signed_in):
    for _ in range(5):
        world.registry.add_version("iris", stage="Staging")
    staged(world)
    RegisteredModel.objects.update(team=Team.objects.create(name="Botany", slug="botany"))
    row = signed_in("aron").get("/models/").context["rows"][0]
    assert [version.version for version in row.staging.versions] == [8, 7]
    assert row.staging.more == 4
    assert [version.version for version in row.production.versions] == [1]
    assert [(share.version.version, share.weight) for share in row.shares] == [(1, 90), (2, 10)]
    assert (row.newest.version, row.version_count, row.model.team.name) == (8, 8, "Botany")


def test_a_filter_that_is_not_offered_stays_chosen(many, signed_in):
    """Only the most frequent are offered; an address may name any, and the next change of the form must not drop it."""
    body = signed_in("aron").get("/models/?framework=rare&team=gone").content.decode()
    for name, value in (("framework", "rare"), ("team", "gone")):
        select = re.search(rf'<select id="{name}".*?</select>', body, re.DOTALL)
        assert re.search(rf'<option value="{value}"\s+selected>', select[0])


def test_what_matches_nothing_says_which_filters(many, signed_in):
    body = html.unescape(signed_in("aron").get("/models/?search=zebra&team=risk").content.decode())
    assert "No model matches" in body
    assert re.search(r"search <bdi>“zebra”</bdi>\s+and\s+owner <bdi>“Risk”</bdi>", body)


def test_pages_have_numbers(world, signed_in, monkeypatch):
    monkeypatch.setattr("portal.web.models.PAGE_SIZE", 2)
    for number in range(30):
        world.registry.add_model(f"model-{number}")
    mirror.full_pass(world.registry, world.now)
    response = signed_in("aron").get("/models/?search=model&page=8")
    numbers = [number for number, _ in response.context["pages"]]
    assert numbers == ["1", "…", "7", "8", "9", "…", "15"]
    assert 'href="?search=model&amp;page=9"' in response.content.decode()
    here = r'aria-current="page"><span class="visually-hidden">Page </span>8</span>'
    assert re.search(here, response.content.decode())


def test_the_cost_of_the_list_does_not_grow(world, signed_in):
    browser = signed_in("aron")
    counts = []
    for size in (1, 40):
        for number in range(size):
            world.registry.add_version(f"model-{size}-{number}", stage="Staging")
        mirror.full_pass(world.registry, world.now)
        browser.get("/models/")
        with CaptureQueriesContext(connection) as seen:
            browser.get("/models/?search=model&tag=x&sort=-newest")
            browser.get("/models/")
        counts.append(len(seen) / 2)
    assert counts[1] <= counts[0] <= MOST_QUERIES


def test_right_after_an_update_the_list_says_that_it_is_being_made(world, signed_in):
    ModelIndex.objects.all().delete()
    assert "being made after an update" in signed_in("priya").get("/models/").content.decode()


def test_the_first_run_says_how_to_connect(world, signed_in):
    for table in (ModelIndex, ModelTag):
        table.objects.all().delete()
    RegisteredModel.objects.update(removed_at=world.now)
    MirrorState.objects.update(last_success_at=None)
    page = signed_in("priya").get("/models/").content.decode()
    assert "MLFLOW_TRACKING_URI" in page
    assert "registered_model_name=" in page
    assert 'href="/status/"' in page
    assert "has not been read yet" in page
    MirrorState.objects.update(last_error="MLflow: connection refused", last_error_at=world.now)
    assert "connection refused" in signed_in("priya").get("/models/").content.decode()


# ---------------------------------------------------------------- a model


def test_a_model_shows_its_past_with_links(world, signed_in):
    finished = world.in_production(1)
    rejected = world.request(2, Stage.STAGING)
    Transition.objects.filter(pk=rejected.pk).update(status="rejected", finished_at=world.now)
    world.pass_time(days=1)
    page = signed_in("aron").get("/models/iris/").content.decode()
    drawing = re.search(r'<svg class="time-line".*?</ul>', page, re.S)[0]
    assert f'<a href="/transitions/{finished.pk}/" tabindex="-1"><svg x=' in drawing
    assert "1.0.0: Production, since" in drawing
    assert "mark-promoted" in drawing
    assert re.search(rf'<a href="/transitions/{rejected.pk}/"[^>]*><svg class="mark mark-rejected"', drawing)
    assert "1.1.0 to Staging: rejected" in drawing
    assert "style=" not in drawing


def test_the_span_of_the_past_is_part_of_the_address(world, signed_in):
    world.in_production(1)
    world.pass_time(days=60)
    Transition.objects.filter(to_stage="Staging").update(requested_at=world.now - timedelta(days=400))
    aron, lines = signed_in("aron"), {}
    for span in ("30d", "90d", "all", "nonsense"):
        response = aron.get(f"/models/iris/?history={span}")
        line = response.context["past"].line
        lines[span] = line.until - line.since
        kept = f'hx-get="/models/iris/?history={span}"' in response.content.decode()
        assert kept == (span in ("30d", "all"))
    assert lines["30d"] < lines["90d"] == lines["nonsense"] < lines["all"]


def test_names_in_the_past_are_text(world, signed_in):
    world.registry.set_tags(VersionRef("iris", 1), {"semantic_version": "<b>1</b>"})
    mirror.full_pass(world.registry, world.now)
    world.in_production(1)
    page = signed_in("aron").get("/models/iris/").content.decode()
    assert "<b>1</b>" not in page
    assert "&lt;b&gt;1&lt;/b&gt;: Production" in page


def test_a_model_says_who_decides_and_by_which_policy(world, signed_in):
    team = Team.objects.create(name="Botany", slug="botany")
    RegisteredModel.objects.update(team=team)
    RoleAssignment.objects.create(user=User.objects.get(username="mia"), role="ml_engineer", team=team)
    page = signed_in("aron").get("/models/iris/").content.decode()
    assert f'href="{reverse("team", args=["botany"])}"' in page
    assert re.search(r"ML engineer</dt>\s*<dd>\s*<a class=\"person\"[^>]*><bdi>mia</bdi>", page)
    assert "the yes of product owner and ML engineer; then 5 → 25 → 50 → 100 % of requests." in page


def test_cards_show_the_metrics_that_the_policy_asks_for(world, signed_in):
    measured = VersionDetails(metrics={"accuracy": 0.95, "auc": 0.9, "f1": 0.91234567})
    world.registry.add_version("iris", details=measured)
    mirror.run_once(world.registry, world.now)
    page = signed_in("aron").get("/models/iris/").content.decode()
    card = re.search(r'<span class="version-metrics">.*?</span></span>', page, re.S)[0]
    assert re.findall(r"<bdi>(\w+)</bdi></span> ([\d.]+)", card) == [("f1", "0.912346"), ("accuracy", "0.95")]


def test_a_page_with_many_versions_folds_them(world, signed_in):
    for _ in range(40):
        world.registry.add_version("iris")
    production(world)
    aron = signed_in("aron")
    page = aron.get("/models/iris/").content.decode()
    assert page.count('class="version-card"') == 21
    assert '<details class="more-versions" id="more-Development">' in page
    assert "and 22 older" in page
    older = html.unescape(re.search(r'id="older-Development" href="([^"]*)"', page)[1])
    assert aron.get(older).status_code == 200


def test_the_cost_of_a_model_does_not_grow_with_its_past(world, signed_in):
    world.in_production(1)
    aron = signed_in("aron")
    aron.get("/models/iris/")
    with CaptureQueriesContext(connection) as few:
        aron.get("/models/iris/", headers={"HX-Request": "true"})
    for _ in range(40):
        world.registry.add_version("iris")
    mirror.full_pass(world.registry, world.now)
    template = Transition.objects.filter(to_stage="Production").values().get()
    del template["id"]
    Transition.objects.bulk_create(Transition(**template) for _ in range(250))
    with CaptureQueriesContext(connection) as more:
        response = aron.get("/models/iris/", headers={"HX-Request": "true"})
    assert len(more) <= len(few)
    assert response.context["past"].cut
    assert len(response.context["past"].line.marks) == 200
