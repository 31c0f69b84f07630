"""The page about a person, and the names that lead to it."""

import pytest
from django.template import Context, Template

from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Team
from portal.accounts.models import RoleAssignment, User
from tests.support.served import production

BUDGET = 12
"""Queries, of which a signed-in page's frame takes some."""
SERVICE = {"role": "service"}


@pytest.fixture
def decided(world):
    """Emil asked for two transitions, of which Mia said yes to one and no to the other."""
    production(world)
    world.approved(3, Stage.STAGING)
    return world


def shown(browser, address: str) -> str:
    response = browser.get(address)
    assert response.status_code == 200, address
    return response.content.decode()


@pytest.mark.parametrize("name", ["priya", "aron", "ada"])
def test_everybody_sees_roles_and_what_was_asked_for_and_decided(decided, signed_in, people, name):
    emil, mia = people["emil"].user_id, people["mia"].user_id
    asked, said = shown(signed_in(name), f"/people/{emil}/"), shown(signed_in(name), f"/people/{mia}/")
    assert "ML engineer" in asked
    assert "It is better." in asked
    assert "The figures are good." in said
    assert "No transition yet" in said
    assert "/record/?actor=mia" in said


def test_an_e_mail_address_and_the_way_to_change_somebody_are_for_administrators(people, signed_in):
    User.objects.filter(username="emil").update(email="emil@example.com")
    address = f"/people/{people['emil'].user_id}/"
    for name, seen in (("mia", False), ("ada", True)):
        page = shown(signed_in(name), address)
        assert ("emil@example.com" in page) == seen
        assert (f"/settings{address}" in page) == seen


def test_a_role_of_one_team_leads_to_the_team(people, signed_in):
    team = Team.objects.create(name="Fraud", slug="fraud")
    RoleAssignment.objects.create(user_id=people["aron"].user_id, role="product_owner", team=team)
    assert "/settings/teams/fraud/" in shown(signed_in("mia"), f"/people/{people['aron'].user_id}/")


def test_a_service_account_says_so_and_who_made_it(people, signed_in):
    made = User.objects.create(username="ci", made_by_id=people["ada"].user_id)
    RoleAssignment.objects.create(user=made, **SERVICE)
    page = shown(signed_in("mia"), f"/people/{made.pk}/")
    assert "A service account" in page
    assert f'href="/people/{people["ada"].user_id}/"' in page
    assert "Decided lately" not in page


def test_the_page_is_cheap(decided, signed_in, people, django_assert_max_num_queries):
    browser = signed_in("mia")
    with django_assert_max_num_queries(BUDGET):
        shown(browser, f"/people/{people['emil'].user_id}/")


# ---------------------------------------------------------------- a name without an account


def test_a_name_leads_to_its_only_bearer(people, signed_in):
    User.objects.filter(username="mia").update(first_name="Mia", last_name="Müller")
    for name in ("Mia Müller", "mia"):
        response = signed_in("aron").get("/people/", {"name": name})
        assert response["Location"] == f"/people/{people['mia'].user_id}/"


def test_a_name_of_several_leads_to_all_of_them(people, signed_in):
    User.objects.filter(username__in=["mia", "emil"]).update(first_name="Sam", last_name="Lee")
    page = shown(signed_in("aron"), "/people/?name=Sam+Lee")
    assert "2 people are called" in page
    assert all(f'href="/people/{people[name].user_id}/"' in page for name in ("mia", "emil"))


@pytest.mark.parametrize(("others", "said"), [(50, ">50 people are called"), (51, "More than 50 people are called")])
def test_a_name_of_very_many_says_that_there_are_more(people, signed_in, others, said):
    User.objects.bulk_create(User(username=f"sam{number}", first_name="Sam") for number in range(others))
    page = shown(signed_in("aron"), "/people/?name=Sam")
    assert said in page
    assert page.count('class="line"') == 50


def test_a_name_that_somebody_had_leads_to_them(decided, signed_in, people):
    User.objects.filter(username="emil").update(username="emil2", first_name="Émile")
    assert AuditEntry.objects.filter(actor="emil").exists()
    assert signed_in("aron").get("/people/?name=emil")["Location"] == f"/people/{people['emil'].user_id}/"


def test_a_name_that_is_gone_leads_to_the_record(people, signed_in):
    response = signed_in("aron").get("/people/?name=<b>ghost</b>")
    assert response.status_code == 404
    assert "/record/?actor=%3Cb%3Eghost%3C%2Fb%3E" in response.content.decode()
    assert signed_in("aron").get("/people/").status_code == 404


# ---------------------------------------------------------------- names as links


def tag(**values) -> str:
    line = "{% load people %}{% person name user_id element key %}"
    given = {"user_id": None, "element": "", "key": ""}
    return Template(line).render(Context({**given, **values}))


LONG = "W" * 255


@pytest.mark.parametrize(
    ("values", "html"),
    [
        ({"name": "mia", "user_id": 7}, '<a class="person" href="/people/7/"><bdi>mia</bdi></a>'),
        ({"name": "Mia M"}, '<a class="person" href="/people/?name=Mia+M"><bdi>Mia M</bdi></a>'),
        ({"name": "mia", "user_id": 7, "element": "asked-by"}, '<a class="person" id="asked-by" href="/people/7/">'),
        ({"name": "mia", "user_id": 7, "element": "by", "key": 3}, 'id="by-3"'),
        ({"name": "<b>"}, "<bdi>&lt;b&gt;</bdi>"),
        ({"name": LONG}, f'title="{LONG}"'),
        ({"name": ""}, "somebody"),
        (
            {"name": "Stagegate"},
            '<span class="nobody" title="Stagegate did this by itself"><bdi>Stagegate</bdi></span>',
        ),
        ({"name": "Stagegate (manage.py retention)"}, "command line"),
        ({"name": "Command line"}, "command line"),
        ({"name": "MLflow"}, "not in Stagegate"),
        ({"name": "Stagegate, asked by mia"}, 'Stagegate, asked by <a class="person" href="/people/?name=mia">'),
        ({"name": "Stagegate", "user_id": 7}, 'href="/people/7/"'),
    ],
)
def test_a_name_is_a_link_unless_it_is_nobodys(values, html):
    assert html in tag(**values)
    assert ("<a " in tag(**values)) == ("href" in html or values["name"] in ("<b>", LONG) or "key" in values)
