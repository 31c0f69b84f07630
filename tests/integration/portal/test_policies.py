"""Policies on the pages and in the API: what each role sees, the two steps of a change, problems at their lines."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from lifecycle import operations, policy_files
from lifecycle.domain.policy import Policy as Values
from lifecycle.domain.policy import load
from lifecycle.models import AuditEntry, Policy

NAMES = ["priya", "emil", "mia", "aron", "ada"]
HOSTILE = "<img src=x onerror=alert(1)>"
EDIT = "/policies/edit/"


def put(world, body, model=None, reason="Agreed."):
    return operations.change_policy(
        model=model, values=load(body), reason=reason, actor=world.people["ada"], now=world.now
    )


@pytest.fixture
def several(world):
    """Policy 2 of all models; 3 of one model, withdrawn by 4; 5 of that model again."""
    put(world, {"staging_weight": 15})
    put(world, {"staging_weight": 20}, world.model)
    operations.withdraw_policy(model=world.model, reason="Done.", actor=world.people["ada"], now=world.now)
    put(world, {"staging_weight": 25, "shortened": True}, world.model, reason=HOSTILE)
    return world


def text_of(**body):
    return policy_files.write(load(body))


def check(browser, text, address=EDIT, **more):
    return browser.post(address, {"step": "check", "policy": text, "base": 1, **more})


def confirm(browser, text, address=EDIT, reason="Agreed with Priya.", **more):
    """Both steps, as a person takes them."""
    checked = check(browser, text, address, **more)
    editor = checked.context["editor"]
    body = {"step": "confirm", "policy": text, "base": editor.base.number, "checked": editor.digest, "reason": reason}
    return browser.post(address, {**body, **more})


def share_in_staging(editor):
    """What is shown as the change of this value."""
    told = {change.label: change for change in editor.preview.changes}["Share of a version in Staging"]
    return told.before, told.after


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("name", NAMES)
def test_everybody_can_read_every_policy(several, signed_in, name):
    browser = signed_in(name)
    for address in ["/policies/", *(f"/policies/{number}/" for number in range(1, 6)), "/models/iris/"]:
        response = browser.get(address)
        assert response.status_code == 200, address
        page = response.content.decode()
        assert " style=" not in page, address
        assert "<script>" not in page, address
        assert HOSTILE not in page, address
        assert ("/policies/edit/" in page) == (name == "ada" and address not in ("/policies/4/",)), address
    assert b"policy 5" in browser.get("/models/iris/").content


def test_the_list_says_what_is_in_force_and_every_number(several, signed_in):
    response = signed_in("aron").get("/policies/")
    assert response.context["in_force"] == {2, 5}
    assert [policy.number for policy in response.context["page"]] == [5, 4, 3, 2, 1]
    assert "&lt;img src=x" in response.content.decode()


def test_a_policy_page_says_what_changed_and_what_differs_from_the_strategy(several, signed_in):
    page = signed_in("priya").get("/policies/5/").content.decode()
    assert "15 %" in page
    assert "25 %" in page
    assert "The strategy says: <bdi>10 %</bdi>" in page
    assert page.count("The strategy says") == 2
    withdrawn = signed_in("priya").get("/policies/4/").content.decode()
    assert "follows the policy of all models again" in withdrawn


@pytest.mark.parametrize("address", ["/policies/99/", "/policies/99/policy.yaml", "/policies/4/policy.yaml"])
def test_what_is_not_there_says_so(several, signed_in, address):
    assert signed_in("emil").get(address).status_code == 404


def test_a_policy_is_exported_as_it_can_be_imported(several, signed_in):
    response = signed_in("aron").get("/policies/5/policy.yaml")
    assert response["Content-Type"] == "application/yaml; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="policy-5.yaml"'
    assert policy_files.read(response.content) == Policy.objects.get(number=5).values


def test_without_signing_in_every_page_leads_to_the_sign_in(several, client):
    for address in ("/policies/", "/policies/1/", "/policies/1/policy.yaml", EDIT):
        assert client.get(address)["Location"].startswith("/sign-in/"), address


def test_somebody_without_a_role_reads_nothing(several, client, django_user_model):
    client.force_login(django_user_model.objects.create_user("new"))
    for address in (
        "/policies/",
        "/policies/1/",
        "/policies/1/policy.yaml",
        "/api/v1/policies/",
        "/api/v1/policies/1/",
    ):
        assert client.get(address).status_code == 403, address


def test_the_queries_of_the_list_do_not_grow(several, signed_in, django_assert_max_num_queries):
    for number in range(40):
        put(several, {"staging_weight": number})
    browser = signed_in("aron")
    with django_assert_max_num_queries(15):
        browser.get("/policies/")


# ---------------------------------------------------------------- changing


@pytest.mark.parametrize("name", ["priya", "emil", "mia", "aron"])
def test_only_administrators_change(world, signed_in, name):
    browser, text = signed_in(name), text_of(staging_weight=15)
    assert browser.get(EDIT).status_code == 403
    assert check(browser, text).status_code == 403
    digest = check(signed_in("ada"), text).context["editor"].digest
    body = {"step": "confirm", "policy": text, "base": 1, "checked": digest, "reason": "I want to."}
    response = browser.post(EDIT, body)
    assert response.status_code == 403
    assert b"administrator" in response.content
    assert browser.post("/policies/withdraw/", {"model": "iris", "base": 1, "reason": "x"}).status_code == 302
    assert Policy.objects.count() == 1
    assert AuditEntry.objects.filter(action="change_policy", refused=True, actor=name).count() == 2


def test_a_change_takes_two_steps(world, signed_in):
    ada = signed_in("ada")
    opened = ada.get(EDIT).context["editor"]
    assert policy_files.read(opened.text) == Policy.objects.get().values
    text = opened.text.replace("staging_weight: 10", "staging_weight: 15")
    checked = check(ada, text)
    assert Policy.objects.count() == 1
    [change] = checked.context["editor"].preview.changes
    assert (change.before, change.after) == ("10 %", "15 %")
    assert "that have not begun" in checked.content.decode()
    response = confirm(ada, text)
    assert response["Location"] == "/policies/2/"
    assert b"Policy 2 is in force" in ada.get("/policies/2/").content
    created = Policy.objects.get(number=2)
    assert (created.values.staging_weight, created.model, created.reason) == (15, None, "Agreed with Priya.")


def test_a_model_gets_a_policy_of_its_own_and_gives_it_up(world, signed_in):
    ada = signed_in("ada")
    response = confirm(ada, text_of(staging_weight=15), f"{EDIT}?model=iris")
    assert response["Location"] == "/policies/2/"
    assert Policy.objects.get(number=2).model == world.model
    refused = ada.post("/policies/withdraw/", {"model": "iris", "base": 2, "reason": " "}, follow=True)
    assert b"Say why" in refused.content
    response = ada.post("/policies/withdraw/", {"model": "iris", "base": 2, "reason": "Done."})
    assert response["Location"] == "/policies/3/"
    assert Policy.objects.get(number=3).withdrawn


def test_browsers_send_lines_with_two_characters_at_their_end(world, signed_in):
    text = text_of(staging_weight=15).replace("\n", "\r\n")
    assert confirm(signed_in("ada"), text)["Location"] == "/policies/2/"


def test_a_file_takes_the_place_of_the_text(world, signed_in):
    file = SimpleUploadedFile("policy.yaml", b"\xef\xbb\xbf" + text_of(staging_weight=17).encode())
    editor = check(signed_in("ada"), "nothing: here", file=file).context["editor"]
    assert "staging_weight: 17" in editor.text
    assert "17 %" in [change.after for change in editor.preview.changes]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"a: \xff", "not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0", "not UTF-8"),
        (b"x" * 100_000, "larger than 64 KB"),
        (b"", "empty"),
        (b"soak: {}\0", "U+0000"),
    ],
)
def test_a_file_that_is_no_policy_does_no_harm(world, signed_in, content, complaint):
    response = check(signed_in("ada"), "", file=SimpleUploadedFile("x.yaml", content))
    assert response.status_code == 200
    if content:
        assert complaint in response.context["editor"].problems[0].message


@pytest.mark.parametrize("text", ["", "\0", "[" * 5000, "x: 1\n" * 12_000, "soak: {duration: \u2028}", "&a [*a]"])
def test_no_text_breaks_the_page(world, signed_in, text):
    response = check(signed_in("ada"), text)
    assert response.status_code == 200
    assert response.context["editor"].problems


def test_problems_are_shown_at_their_lines_and_nothing_typed_is_lost(world, signed_in):
    text = f"# {HOSTILE}\nstaging_weight: 51\n{HOSTILE!r}: 1\n"
    response = check(signed_in("ada"), text, reason="A long story.")
    page = response.content.decode()
    assert [problem.line for problem in response.context["editor"].problems] == [2, 3]
    assert "Line 2" in page
    assert "51 is out of range" in page
    assert HOSTILE not in page
    assert "A long story." in page
    assert response.context["editor"].text == text


@pytest.mark.parametrize("reason", ["", "x" * 2001])
def test_without_a_good_reason_the_text_stays(world, signed_in, reason):
    text = text_of(staging_weight=15)
    response = confirm(signed_in("ada"), text, reason=reason)
    assert response.status_code == 422
    assert response.context["editor"].text == text
    assert response.context["editor"].reason == reason
    assert "reason" in response.context["editor"].refusal
    assert response.context["editor"].preview.changes
    assert AuditEntry.objects.filter(action="change_policy", refused=True).count() == 1


def test_a_text_that_changed_after_the_check_is_checked_again(world, signed_in):
    ada = signed_in("ada")
    digest = check(ada, text_of(staging_weight=15)).context["editor"].digest
    other = text_of(staging_weight=16)
    body = {"step": "confirm", "policy": other, "base": 1, "checked": digest, "reason": "Sneaky."}
    editor = ada.post(EDIT, body).context["editor"]
    assert "not the one that was checked" in editor.notice
    assert (editor.text, editor.reason, share_in_staging(editor)) == (other, "Sneaky.", ("10 %", "16 %"))
    assert Policy.objects.count() == 1


def test_two_administrators_at_the_editor(world, signed_in):
    ada, text = signed_in("ada"), text_of(staging_weight=15)
    checked = check(ada, text).context["editor"]
    put(world, {"staging_weight": 16}, reason="First.")
    body = {"step": "confirm", "policy": text, "base": 1, "checked": checked.digest, "reason": "Mine."}
    response = ada.post(EDIT, body)
    assert response.status_code == 409
    editor = response.context["editor"]
    assert "ada has put policy 2 in force meanwhile (“First.”)" in editor.refusal
    assert (editor.text, editor.reason, editor.base.number) == (text, "Mine.", 2)
    assert share_in_staging(editor) == ("16 %", "15 %")
    again = check(ada, text)
    assert "in force since you began" in again.context["editor"].notice
    assert ada.post(EDIT, {**body, "base": 2})["Location"] == "/policies/3/"


def test_nothing_to_change_is_said(world, signed_in):
    response = check(signed_in("ada"), policy_files.write(Policy.objects.get().values))
    assert "Nothing would change" in response.content.decode()


def test_a_policy_that_nobody_could_satisfy_is_shown_before_the_second_step(world, signed_in, django_user_model):
    django_user_model.objects.filter(username="priya").update(is_active=False)
    response = check(signed_in("ada"), text_of(staging_weight=15))
    assert {problem.path[0] for problem in response.context["editor"].problems} == {
        "approvals_to_production",
        "waivers",
    }
    assert "Put it in force" not in response.content.decode()


def test_a_change_can_start_from_an_older_policy(several, signed_in):
    ada = signed_in("ada")
    editor = ada.get(f"{EDIT}?model=iris&from=3").context["editor"]
    assert (editor.base.number, policy_files.read(editor.text).staging_weight) == (5, 20)
    assert policy_files.read(ada.get(f"{EDIT}?from=4").context["editor"].text).staging_weight == 15
    assert ada.get(f"{EDIT}?from=99").status_code == 404
    assert ada.get(f"{EDIT}?from=x").status_code == 200
    assert ada.get(f"{EDIT}?model=nothing").status_code == 404


def test_forms_from_elsewhere_are_refused(world, people):
    browser = Client(enforce_csrf_checks=True)
    browser.login(username="ada", password="ada")
    assert check(browser, "{}").status_code == 403
    assert browser.post("/policies/withdraw/", {"model": "iris", "base": 1, "reason": "x"}).status_code == 403


# ---------------------------------------------------------------- API


def post(browser, address, body):
    return browser.post(f"/api/v1/{address}", body, content_type="application/json")


def test_the_api_lists_policies_newest_first(several, signed_in):
    aron = signed_in("aron")
    rows = aron.get("/api/v1/policies/").json()["results"]
    assert [(row["number"], row["model"], row["withdrawn"], row["in_force"]) for row in rows] == [
        (5, "iris", False, True),
        (4, "iris", True, False),
        (3, "iris", False, False),
        (2, None, False, True),
        (1, None, False, False),
    ]
    assert [row["number"] for row in aron.get("/api/v1/policies/?model=iris").json()["results"]] == [5, 4, 3]
    assert aron.get("/api/v1/policies/?model=nothing").status_code == 404
    assert len(aron.get("/api/v1/policies/?limit=2").json()["results"]) == 2


def test_the_api_tells_a_whole_policy(several, signed_in):
    body = signed_in("aron").get("/api/v1/policies/5/").json()
    assert (body["number"], body["replaces"], body["in_force"], body["transitions"]) == (5, 2, True, 0)
    assert load(body["values"]) == Policy.objects.get(number=5).values
    assert {"section", "value", "before", "after"} == set(body["changes"][0])
    assert signed_in("aron").get("/api/v1/policies/4/").json()["values"] is None


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "application/json", "application/json"),
        ("", "*/*", "application/json"),
        ("?format=json", "*/*", "application/json"),
        ("?format=yaml", "*/*", "application/yaml; charset=utf-8"),
        ("", "text/yaml", "text/yaml; charset=utf-8"),
        ("", "application/yaml", "application/yaml; charset=utf-8"),
    ],
)
def test_the_api_gives_json_or_yaml(several, signed_in, query, accept, kind):
    response = signed_in("aron").get(f"/api/v1/policies/5/{query}", headers={"Accept": accept})
    assert response["Content-Type"] == kind
    read = policy_files.read(response.content) if "yaml" in kind else load(response.json()["values"])
    assert read == Policy.objects.get(number=5).values


def test_problems_stay_json_when_yaml_was_wanted(several, signed_in):
    response = signed_in("aron").get("/api/v1/policies/99/?format=yaml")
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert response.json()["type"] == "urn:stagegate:not_found"


@pytest.mark.parametrize("as_yaml", [True, False])
def test_a_policy_is_put_in_force_by_the_api(world, signed_in, as_yaml):
    sent = {"yaml": "staging_weight: 15\n"} if as_yaml else {"values": {"staging_weight": 15}}
    response = post(
        signed_in("ada"), "policies/", {**sent, "reason": "By script.", "model": "iris", "expected_number": 1}
    )
    assert response.status_code == 201
    body = response.json()
    assert (body["number"], body["model"], body["in_force"], body["values"]["staging_weight"]) == (2, "iris", True, 15)
    withdrawn = post(signed_in("ada"), "policies/withdraw/", {"model": "iris", "reason": "Done.", "expected_number": 2})
    assert (withdrawn.status_code, withdrawn.json()["withdrawn"]) == (201, True)


def test_the_api_points_at_lines(world, signed_in):
    response = post(signed_in("ada"), "policies/", {"yaml": "soak: {}\nstaging_weight: 51\nx\0: 1", "reason": "Try."})
    assert response.json()["problems"][0]["line"] == 3
    response = post(signed_in("ada"), "policies/", {"yaml": "staging_weight: 51\nxy: 1", "reason": "Try."})
    body = response.json()
    assert (response.status_code, response["Content-Type"]) == (422, "application/problem+json")
    assert body["type"] == "urn:stagegate:policy_file"
    assert body["problems"] == [
        {
            "line": 1,
            "column": 1,
            "path": ["staging_weight"],
            "message": "51 is out of range: it has to be from 0 to 50 percent.",
        },
        {"line": 2, "column": 1, "path": ["xy"], "message": "There is no value called “xy” here."},
    ]
    assert Policy.objects.count() == 1


def test_the_api_says_where_in_the_values_a_problem_is(world, signed_in):
    body = {"values": {"canary_steps": [{"weight": 5}]}, "reason": "Try."}
    [problem] = post(signed_in("ada"), "policies/", body).json()["problems"]
    assert (problem["line"], problem["column"], problem["path"]) == (None, None, ["canary_steps", 0, "minimum"])


@pytest.mark.parametrize(
    ("name", "body", "status", "rule"),
    [
        ("emil", {"yaml": "staging_weight: 15", "reason": "x"}, 403, "role"),
        ("emil", {"yaml": "[", "reason": "x"}, 403, "role"),
        ("ada", {"yaml": "staging_weight: 15"}, 422, "reason"),
        ("ada", {"yaml": "[", "reason": "x"}, 422, "policy_file"),
        ("ada", {"values": [], "reason": "x"}, 422, "policy_values"),
        ("ada", {"values": "staging_weight: 15", "reason": "x"}, 400, "invalid"),
        ("ada", {"values": {"staging_weight": 15}, "yaml": "{}", "reason": "x"}, 400, "invalid"),
        ("ada", {"reason": "x"}, 400, "invalid"),
        ("ada", {"yaml": 5, "reason": "x"}, 400, "invalid"),
        ("ada", {"yaml": "staging_weight: 15", "reason": "x", "expected_number": 7}, 409, "changed_meanwhile"),
        ("ada", {"yaml": "staging_weight: 15", "reason": "x", "model": "nothing"}, 404, "not_found"),
    ],
)
def test_a_refusal_of_the_api_names_its_rule(world, signed_in, name, body, status, rule):
    response = post(signed_in(name), "policies/", body)
    assert (response.status_code, response.json()["type"]) == (status, f"urn:stagegate:{rule}")
    assert Policy.objects.count() == 1


def test_a_policy_of_before_reads_well_on_its_page(world, signed_in):
    """Rows written with seconds as numbers are shown in words like any other."""
    page = signed_in("aron").get("/policies/1/").content.decode()
    assert "5 % for 10 seconds, 25 % for 20 seconds, 50 % for 40 seconds, then 100 %" in page
    assert Policy.objects.get().values.warm_window == timedelta(minutes=10)
    assert Values() != Policy.objects.get().values
