"""Accepting a proposed semantic version: what is written to MLflow, what is recorded, and what is refused."""

import pytest
from django.template.loader import render_to_string
from django.test import Client, RequestFactory

from lifecycle import mirror, operations, versions
from lifecycle.domain.findings import State
from lifecycle.models import AuditEntry, ModelVersion
from lifecycle.operations import RefusedError
from lifecycle.ports import NotFoundError, TemporaryError, VersionDetails, VersionRef
from portal.accounts.models import User

WINE = "wine"
OUTPUTS = [{"type": "double", "required": True}]
FIRST = [{"name": "acidity", "type": "double", "required": True}]
SECOND = [*FIRST, {"name": "sugar", "type": "double", "required": False}]


def details(inputs, outputs=OUTPUTS):
    return VersionDetails(signature={"inputs": inputs, "outputs": outputs, "params": None})


@pytest.fixture
def wine(world):
    """Version 1 is 1.0.0; version 2 takes one more column, which is optional, and has no number yet."""
    world.registry.add_version(WINE, tags={"semantic_version": "1.0.0"}, details=details(FIRST))
    world.registry.add_version(WINE, tags={"framework": "sklearn"}, details=details(SECOND))
    mirror.full_pass(world.registry, world.now)
    mirror.fill_details(world.registry, 50, world.now)
    return world


def row(number):
    return ModelVersion.objects.select_related("model").get(model__name=WINE, version=number)


def accept(world, number, proposed, by="emil"):
    return operations.accept_semantic_version(
        version=row(number), proposed=proposed, actor=world.people[by], now=world.now
    )


def tags(world, number):
    return world.registry.version(VersionRef(WINE, number)).tags


def entries(**wanted):
    return [(entry.action, entry.refused) for entry in AuditEntry.objects.filter(**wanted).order_by("pk")]


def refused(world, number, proposed, rule, status=409, by="emil"):
    with pytest.raises(RefusedError) as caught:
        accept(world, number, proposed, by)
    assert (caught.value.rule, caught.value.status) == (rule, status)
    return str(caught.value)


# ---------------------------------------------------------------- accepting


def test_the_proposal_is_written_to_mlflow_and_recorded(wine):
    verdict = versions.semantic_version_of(row(2))
    assert (verdict.state, verdict.proposal) == (State.MISSING, "1.1.0")
    named = accept(wine, 2, "1.1.0")
    assert tags(wine, 2) == {"framework": "sklearn", "semantic_version": "1.1.0"}
    assert named.semantic_version == row(2).semantic_version == "1.1.0"
    assert versions.semantic_version_of(row(2)).passed
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.refused, entry.actor, entry.version) == ("semantic_version_accepted", False, "emil", 2)
    assert entry.reason.startswith("Accepted the proposal 1.1.0: a MINOR change since 1.0.0.")
    assert "sugar" in entry.reason
    assert entry.details == {"semantic_version": "1.1.0", "before": "", "required": "MINOR", "base": 1}


def test_a_wrong_number_is_replaced_by_the_right_one(wine):
    wine.registry.set_tags(VersionRef(WINE, 2), {"semantic_version": "1.0.1"})
    accept(wine, 2, "1.1.0")
    assert tags(wine, 2)["semantic_version"] == "1.1.0"
    assert AuditEntry.objects.get().details["before"] == "1.0.1"


def test_accepting_twice_is_accepting_once(wine):
    accept(wine, 2, "1.1.0")
    assert accept(wine, 2, "1.1.0").semantic_version == "1.1.0"
    assert entries() == [("semantic_version_accepted", False)]
    assert wine.registry.calls["set_tags"] == 1


def test_a_base_that_was_never_read_is_read_first(wine):
    ModelVersion.objects.filter(model__name=WINE, version=1).update(details_at=None, signature=None)
    assert versions.semantic_version_of(row(2)).proposal == "2.0.0"
    accept(wine, 2, "1.1.0")
    assert tags(wine, 2)["semantic_version"] == "1.1.0"


def test_a_reply_that_was_lost_is_looked_for(wine, monkeypatch):
    write = wine.registry.set_tags

    def lose_the_reply(ref, given):
        write(ref, given)
        raise TemporaryError("the connection broke off")

    monkeypatch.setattr(wine.registry, "set_tags", lose_the_reply)
    assert accept(wine, 2, "1.1.0").semantic_version == "1.1.0"
    assert entries() == [("semantic_version_accepted", False)]


# ---------------------------------------------------------------- refusing


@pytest.mark.parametrize("name", ["priya", "aron", "ada"])
def test_ml_engineers_accept(wine, name):
    words = refused(wine, 2, "1.1.0", "role", 403, by=name)
    assert "ML engineer" in words
    assert "semantic_version" not in tags(wine, 2)
    assert entries() == [("accept_semantic_version", True)]
    assert not versions.may_accept(row(2), wine.people[name])


@pytest.mark.parametrize("proposed", ["1.0.1", "2.0.0", "", "v1.1.0"])
def test_only_what_is_proposed_can_be_accepted(wine, proposed):
    assert "1.1.0" in refused(wine, 2, proposed, "proposal_changed")
    assert "semantic_version" not in tags(wine, 2)
    assert row(2).semantic_version == ""


def test_a_wrong_number_is_not_accepted_because_it_is_there(wine):
    wine.registry.set_tags(VersionRef(WINE, 2), {"semantic_version": "1.0.1"})
    assert "it is 1.1.0" in refused(wine, 2, "1.0.1", "proposal_changed")


def test_somebody_tagged_it_meanwhile(wine):
    wine.registry.set_tags(VersionRef(WINE, 2), {"semantic_version": "1.4.0"})
    assert "is called 1.4.0 by now" in refused(wine, 2, "1.1.0", "proposal_changed")
    assert tags(wine, 2)["semantic_version"] == "1.4.0"


def test_another_version_took_the_number_meanwhile(wine):
    wine.registry.add_version(WINE, details=details(SECOND))
    mirror.full_pass(wine.registry, wine.now)
    accept(wine, 3, "1.1.0")
    assert "Register the model again" in refused(wine, 2, "1.1.0", "proposal_changed")
    assert "semantic_version" not in tags(wine, 2)


def test_whoever_read_the_row_before_another_wrote_it_takes_nothing(wine):
    stale = row(2)
    assert mirror.claim_tags(row(2), {"semantic_version": "1.1.0"})
    assert not mirror.claim_tags(stale, {"semantic_version": "1.1.0"})
    mirror.refresh_version(wine.registry, VersionRef(WINE, 2), wine.now)
    assert row(2).tags == {"framework": "sklearn"}


def test_archived_versions_are_read_only(wine):
    wine.registry.set_stage(VersionRef(WINE, 2), "Archived")
    assert "archived" in refused(wine, 2, "1.1.0", "version_read_only")
    assert "semantic_version" not in tags(wine, 2)
    assert not versions.may_accept(row(2), wine.people["emil"])


def test_a_version_that_is_gone_cannot_be_named(wine):
    wine.registry.delete_version(VersionRef(WINE, 2))
    refused(wine, 2, "1.1.0", "version_removed")
    assert versions.why_not_nameable(row(2)) == "MLflow no longer has this version."


def test_files_that_cannot_be_read_name_nothing(wine, monkeypatch):
    def fail(version):
        raise TemporaryError("the store is down")

    ModelVersion.objects.filter(model__name=WINE, version=2).update(details_at=None)
    monkeypatch.setattr(wine.registry, "details", fail)
    assert "the store is down" in refused(wine, 2, "1.1.0", "version_unread", 503)


def test_while_mlflow_is_down_nothing_is_done(wine):
    wine.registry.down = True
    refused(wine, 2, "1.1.0", "registry_unreachable", 503)
    wine.registry.down = False
    assert "semantic_version" not in tags(wine, 2)
    assert entries() == [("accept_semantic_version", True)]


@pytest.mark.parametrize(
    ("failure", "rule", "status"),
    [
        (TemporaryError("MLflow did not answer"), "registry_unreachable", 503),
        (NotFoundError("gone"), "version_removed", 409),
    ],
)
def test_a_write_that_failed_gives_the_number_back(wine, monkeypatch, failure, rule, status):
    def fail(ref, given):
        if isinstance(failure, NotFoundError):
            wine.registry.delete_version(ref)
        wine.registry.down = rule == "registry_unreachable"
        raise failure

    monkeypatch.setattr(wine.registry, "set_tags", fail)
    refused(wine, 2, "1.1.0", rule, status)
    assert row(2).tags == {"framework": "sklearn"}
    assert entries() == [("semantic_version_accepted", False), ("accept_semantic_version", True)]


# ---------------------------------------------------------------- page and API


@pytest.fixture
def browser_of(people):
    def client(name):
        browser = Client()
        assert browser.login(username=name, password=name)
        return browser

    return client


PAGE = "/models/wine/versions/2/semantic-version/"
API = "/api/v1/models/wine/versions/2/semantic-version/"


def test_the_button_names_the_version(wine, browser_of):
    answer = browser_of("emil").post(PAGE, {"semantic_version": "1.1.0"})
    assert (answer.status_code, answer["Location"]) == (302, "/models/wine/versions/2/")
    assert tags(wine, 2)["semantic_version"] == "1.1.0"


@pytest.mark.parametrize(
    ("name", "proposed"), [("priya", "1.1.0"), ("emil", "9.9.9"), ("emil", ""), ("emil", "9" * 999)]
)
def test_the_button_refuses_with_words(wine, browser_of, name, proposed):
    answer = browser_of(name).post(PAGE, {"semantic_version": proposed}, follow=True)
    assert [message.level_tag for message in answer.context["messages"]] == ["error"]
    assert "semantic_version" not in tags(wine, 2)


def test_the_address_takes_posts_alone(wine, browser_of):
    assert browser_of("emil").get(PAGE).status_code == 405


def test_the_api_tells_the_verdict(wine, browser_of):
    found = browser_of("aron").get(API).json()
    assert {key: found[key] for key in ("state", "measured", "required", "proposal", "base", "changed")} == {
        "state": "missing",
        "measured": "no number",
        "required": "MINOR",
        "proposal": "1.1.0",
        "base": {"version": 1, "semantic_version": "1.0.0"},
        "changed": 1,
    }
    assert found["changes"] == [
        {
            "part": "input",
            "name": "sugar",
            "before": None,
            "after": "double, optional",
            "what": "New and optional: requests without it are answered.",
            "required": "MINOR",
        }
    ]
    first = browser_of("aron").get("/api/v1/models/wine/versions/1/semantic-version/").json()
    assert (first["state"], first["base"], first["required"], first["changes"]) == ("passed", None, None, [])


@pytest.mark.parametrize(
    ("name", "body", "status", "rule"),
    [
        ("emil", {"semantic_version": "1.1.0"}, 200, None),
        ("priya", {"semantic_version": "1.1.0"}, 403, "role"),
        ("emil", {"semantic_version": "1.2.0"}, 409, "proposal_changed"),
        ("emil", {}, 400, "invalid"),
        ("emil", {"semantic_version": "9" * 999}, 400, "invalid"),
    ],
)
def test_the_api_accepts(wine, browser_of, name, body, status, rule):
    answer = browser_of(name).post(API, body, content_type="application/json")
    assert answer.status_code == status
    if rule is None:
        assert (answer.json()["state"], answer.json()["proposal"]) == ("passed", None)
    else:
        assert answer.json()["type"] == f"urn:stagegate:{rule}"
    assert ("semantic_version" in tags(wine, 2)) == (rule is None)


def partial(name, number=2):
    version = row(number)
    request = RequestFactory().get("/")
    request.user = User.objects.get(username=name)
    context = {
        "version": version,
        "verdict": versions.semantic_version_of(version),
        "may_accept": name == "emil",
    }
    return render_to_string("versions/_semantic_version.html", context, request)


def test_the_page_shows_the_difference_and_one_button(wine):
    shown = partial("emil")
    assert "sugar" in shown
    assert "MINOR" in shown
    assert "Call it 1.1.0" in shown
    assert "writes the tag" in shown
    other = partial("priya")
    assert "Call it" not in other
    assert "Proposed is 1.1.0" in other
    assert "Call it" not in partial("emil", 1)


def test_markup_in_a_column_stays_text(wine):
    hostile = "<img src=x onerror=alert(1)>"
    wine.registry.add_version(WINE, details=details([{**SECOND[0], "name": hostile}]), tags={"semantic_version": "<b>"})
    mirror.full_pass(wine.registry, wine.now)
    mirror.fill_details(wine.registry, 50, wine.now)
    shown = partial("emil", 3)
    assert "&lt;img" in shown
    assert "<img" not in shown
    assert "<b>" not in shown
