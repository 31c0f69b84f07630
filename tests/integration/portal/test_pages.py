"""The pages without a browser: they open for whom they should, and their buttons do what they say."""

import re

import pytest
from django.test import Client

from lifecycle import mirror
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, ModelVersion, RegisteredModel, Status, Transition
from tests.support.served import production

NAMES = ["priya", "emil", "mia", "aron", "ada"]


@pytest.fixture
def history(world):
    """Something of everything: a version in Production, one replaced, one waiting for approval."""
    production(world)
    world.drive(world.approved(3, Stage.STAGING))
    world.request(3, Stage.PRODUCTION)
    return world


def pages():
    last = Transition.objects.order_by("-pk").values_list("pk", flat=True)[0]
    first = Transition.objects.order_by("pk").values_list("pk", flat=True)[0]
    return [
        "/",
        "/inbox/",
        "/models/",
        "/models/?search=ir&stage=Production",
        "/models/iris/",
        "/models/iris/versions/3/",
        f"/transitions/{first}/",
        f"/transitions/{last}/",
        "/record/",
        "/record/?model=iris&actor=emil&page=2",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_page_opens_for_every_role(history, signed_in, name):
    browser = signed_in(name)
    for address in pages():
        response = browser.get(address)
        assert response.status_code == 200, address
        assert "default-src 'none'" in response["Content-Security-Policy"]
        assert " style=" not in response.content.decode(), address
        assert "<script>" not in response.content.decode(), address


def test_htmx_gets_the_moving_part_alone(history, signed_in):
    running = Transition.objects.order_by("-pk").values_list("pk", flat=True)[0]
    emil = signed_in("emil")
    for address in ("/models/", "/models/iris/", f"/transitions/{running}/"):
        response = emil.get(address, headers={"HX-Request": "true"})
        assert response.status_code == 200, address
        assert b"<html" not in response.content, address
        assert "HX-Request" in response["Vary"]


def test_without_signing_in_every_page_leads_to_the_sign_in(history, client):
    for address in pages():
        response = client.get(address)
        assert (response.status_code, response["Location"].partition("?")[0]) == (302, "/sign-in/"), address


def test_somebody_without_a_role_is_told_which_one_it_takes(world, client, django_user_model):
    client.force_login(django_user_model.objects.create_user("new"))
    response = client.get("/models/iris/")
    assert response.status_code == 403
    assert b"product owner" in response.content


@pytest.mark.parametrize("address", ["/models/nothing/", "/models/iris/versions/99/", "/transitions/999/", "/nowhere/"])
def test_what_does_not_exist_says_so(history, signed_in, address):
    assert signed_in("emil").get(address).status_code == 404


def test_the_whole_path_by_forms(world, signed_in):
    emil, mia = signed_in("emil"), signed_in("mia")
    response = emil.post("/models/iris/versions/1/request/", {"to_stage": "Staging", "reason": "Ready."})
    transition = Transition.objects.get()
    assert response["Location"] == f"/transitions/{transition.pk}/"
    assert b"Ready." in mia.get(response["Location"]).content
    assert mia.post(f"/transitions/{transition.pk}/approve/", {"reason": "Looks good."}).status_code == 302
    transition.refresh_from_db()
    assert transition.status == Status.APPROVED
    entry = AuditEntry.objects.get(action="transition_approved")
    assert (entry.actor, entry.signed_in_by, entry.address) == ("mia", "password", "127.0.0.1")


def test_a_refusal_is_shown_where_the_person_was(world, signed_in):
    emil = signed_in("emil")
    emil.post("/models/iris/versions/1/request/", {"to_stage": "Staging", "reason": "Ready."})
    transition = Transition.objects.get()
    response = emil.post(f"/transitions/{transition.pk}/approve/", {"reason": "I trust myself."}, follow=True)
    assert b"somebody else has to decide" in response.content
    assert Transition.objects.get().status == Status.AWAITING_APPROVAL


@pytest.mark.parametrize("action", ["approve", "reject", "cancel", "roll-back"])
def test_without_a_reason_nothing_happens(world, signed_in, action):
    transition = world.request(1, Stage.STAGING)
    response = signed_in("mia").post(f"/transitions/{transition.pk}/{action}/", {"reason": "  "}, follow=True)
    assert b"Say why" in response.content
    assert AuditEntry.objects.filter(refused=True, actor="mia").count() == 1
    assert Transition.objects.get().status == Status.AWAITING_APPROVAL


@pytest.mark.parametrize("kind", ["emergency", "graceful"])
def test_a_rollback_by_form(world, signed_in, kind):
    production(world)
    response = signed_in("emil").post("/models/iris/roll-back/", {"reason": "Errors.", "kind": kind})
    rollback = Transition.objects.order_by("-pk")[0]
    assert response["Location"] == f"/transitions/{rollback.pk}/"
    assert (rollback.status, rollback.emergency) == (Status.ROLLING_BACK, kind == "emergency")


@pytest.mark.parametrize("address", ["/models/iris/roll-back/", "/models/iris/versions/1/request/"])
def test_changes_are_never_made_by_a_link(history, signed_in, address):
    assert signed_in("emil").get(address).status_code == 405


def test_forms_from_elsewhere_are_refused(world, people):

    browser = Client(enforce_csrf_checks=True)
    browser.login(username="emil", password="emil")
    response = browser.post("/models/iris/versions/1/request/", {"to_stage": "Staging", "reason": "Forged."})
    assert response.status_code == 403
    assert not Transition.objects.exists()


def test_markup_from_the_registry_stays_text(world, signed_in):
    hostile = "<img src=x onerror=alert(1)>"
    world.registry.add_version("iris", tags={"note": hostile, "semantic_version": hostile})
    world.registry.add_model(hostile, description=hostile)

    mirror.full_pass(world.registry, world.now)
    emil = signed_in("emil")
    model = emil.get("/models/").context["rows"]
    slug = next(row.model.slug for row in model if row.model.name == hostile)
    for address in ("/models/", f"/models/{slug}/", "/models/iris/versions/4/", "/models/iris/"):
        response = emil.get(address)
        assert response.status_code == 200
        assert hostile.encode() not in response.content, address


def test_a_window_s_title_is_short_whatever_the_registry_says(history, signed_in):
    RegisteredModel.objects.update(name="m" * 250)
    ModelVersion.objects.update(tags={"semantic_version": "9" * 100})
    emil, last = signed_in("emil"), Transition.objects.latest("pk").pk
    places = ("", "versions/1/", "versions/1/dossier/", "compare/?a=1&b=2", "live/", "metrics/")
    for address in (*(f"/models/iris/{place}" for place in places), f"/transitions/{last}/"):
        title = re.search(r"<title>(.*?)</title>", emil.get(address).content.decode(), re.DOTALL)[1]
        assert len(title.strip()) <= 180, address


def test_the_number_of_queries_does_not_grow_with_the_rows(history, signed_in, django_assert_max_num_queries):
    for number in range(40):
        history.registry.add_version(f"model-{number}")

    mirror.full_pass(history.registry, history.now)
    emil = signed_in("emil")
    with django_assert_max_num_queries(20):
        assert emil.get("/models/").status_code == 200
