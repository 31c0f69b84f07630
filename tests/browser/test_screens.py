"""Every screen, opened as somebody whom it is for: what axe-core finds, and what it cannot see.

Each is looked at in the light theme and in the dark one, at the width of a desk and at 320 px, with its dialogs open.
What is found is collected, so that one run names everything that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.mfa.models import Authenticator
from axe_playwright_python.base import AXE_SCRIPT
from django.db import OperationalError
from django.http import Http404
from django.urls import resolve, reverse
from playwright.sync_api import Page

from lifecycle import version_search
from lifecycle.domain.permissions import NotAllowedError
from lifecycle.operations import RefusedError
from lifecycle.ports import TemporaryError
from portal import permissions
from tests.support.screens import Shown, emptied, filled

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
EVERYTHING = {"runOnly": TAGS, "rules": {"target-size": {"enabled": True}}}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
SIZES = {"runOnly": {"type": "rule", "values": ["target-size", "scrollable-region-focusable"]}}
DESK, NARROW = {"width": 1280, "height": 900}, {"width": 320, "height": 800}

ERRORS: dict[int, Exception] = {
    403: NotAllowedError("Only administrators can do this."),
    404: Http404("There is no such version."),
    409: RefusedError("Somebody else was faster.", rule="moved_on", status=409),
    500: RuntimeError("a fault"),
    502: TemporaryError("MLflow did not answer."),
    503: OperationalError("the database is locked"),
}
"""What a view raises, by the status that it answers with."""
EMPTY = (
    *(
        "home",
        "inbox",
        "models",
        "versions",
        "policies",
        "freezes",
        "retention",
        "record",
        "exports",
        "people",
        "teams",
    ),
    *("channels", "delivery", "notices", "tokens"),
)
"""The screens that look different on an installation that nothing has happened in."""

WRONG = """() => {
    const wrong = [];
    const shown = (each) => each.checkVisibility({ visibilityProperty: true });
    const heads = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(shown);
    const firsts = heads.filter((each) => each.tagName === "H1");
    if (firsts.length !== 1) wrong.push(`${firsts.length} headings of the first level`);
    let level = 0;
    for (const head of heads) {
        const own = Number(head.tagName[1]);
        if (own > level + 1) wrong.push(`heading ${own} follows heading ${level}: ${head.textContent.trim()}`);
        level = own;
    }
    if (document.querySelectorAll("main").length !== 1) wrong.push("not one main landmark");
    for (const table of document.querySelectorAll("table")) {
        const called = table.caption || table.getAttribute("aria-label") || table.getAttribute("aria-labelledby");
        const around = table.closest(".table-scroll:is([aria-label], [aria-labelledby])");
        if (!called && !around) wrong.push(`a table without a name: ${table.className}`);
        for (const head of table.querySelectorAll("th:not([scope])")) wrong.push(`no scope: ${head.innerText}`);
    }
    for (const dialog of document.querySelectorAll("dialog")) {
        if (!dialog.getAttribute("aria-labelledby") && !dialog.getAttribute("aria-label")) {
            wrong.push(`a dialog without a name: ${dialog.id}`);
        }
    }
    for (const chart of document.querySelectorAll("figure .chart-canvas")) {
        const called = chart.getAttribute("aria-labelledby") || chart.getAttribute("aria-label");
        const twin = chart.closest("section").querySelector("details :is(table, [data-chart-rows])");
        if (!called || !twin) wrong.push(`a chart without a name or without a table: ${chart.closest("section").id}`);
    }
    return wrong;
}"""
"""What every page has to be: one main heading, headings in order, named tables, dialogs and charts."""

TOO_WIDE = """() => {
    const root = document.scrollingElement;
    if (root.scrollWidth <= root.clientWidth) return [];
    const wide = [...document.querySelectorAll("body *")].filter((each) =>
        each.getBoundingClientRect().right > root.clientWidth + 1 && !each.closest(".table-scroll, pre, nav"));
    const last = wide.filter((each) => !wide.some((other) => other !== each && each.contains(other)));
    return [`${root.scrollWidth - root.clientWidth} px too wide: ` + last.slice(0, 4).map((each) =>
        `<${each.tagName.toLowerCase()} class="${each.getAttribute("class")}">`).join(", ")];
}"""

AXE_RUN = """async ([within, options]) => {
    const alike = ["tbody > tr", ".cards > li", ".lines > li", ".api-endpoint"];
    const context = within || { exclude: alike.map((each) => [`${each}:nth-child(n + 7)`]) };
    const { violations } = await axe.run(context, { ...options, resultTypes: ["violations"] });
    return violations.map(({ id, nodes }) => [id, nodes.map((each) => [each.html, each.failureSummary])]);
}"""
"""Nothing but what is wrong is handed over: the rest of the result is long. Of many rows that are alike, six are
enough."""

CHARTS = "[...document.querySelectorAll('.chart-canvas')].filter((each) => each.checkVisibility())"
DRAWN = f"() => {CHARTS}.every((each) => each.querySelector('svg'))"
FITTED = f"() => {CHARTS}.every((each) => each.querySelector('svg').clientWidth <= innerWidth)"
"""After a change of the window's size a chart is drawn again, a moment later."""

Path = Callable[[Shown], str]


@dataclass(frozen=True)
class Screen:
    """A screen to look at: its name in ``urls.py``, who looks, where it is, and the status that it answers with."""

    name: str
    who: str
    path: Path
    status: int = 200


def at(name: str, who: str, *args: Any, query: str = "", status: int = 200) -> Screen:
    """Its address is made of ``args``, each a value, or what gives it for the rows that are shown."""

    def path(shown: Shown) -> str:
        given = [each(shown) if callable(each) else each for each in args]
        return reverse(name, args=given) + query

    return Screen(name, who, path, status)


def row(name: str) -> Callable[[Shown], int]:
    return lambda shown: int(getattr(shown, name).pk)


def seen(criterion: str) -> Callable[[Shown], int]:
    return lambda shown: shown.evidence[criterion].pk


def key_of(username: str) -> Callable[[Shown], int]:
    return lambda shown: int(shown.world.people[username].user_id or 0)


SCREENS: tuple[Screen, ...] = (
    # ------------------------------------------------------------ what one decides
    at("home", "priya"),
    at("inbox", "priya"),
    at("transition", "priya", row("decision")),
    at("version", "priya", "iris", 3),
    at("model", "priya", "returns"),
    at("ask", "priya", "returns", "roll-back"),
    at("ask", "priya", "returns", "put-right"),
    at("transition", "priya", row("rolled_back")),
    at("notices", "priya"),
    # ------------------------------------------------------------ what one builds and watches
    at("models", "emil"),
    at("models", "emil", query="?search=nothing-has-this-name"),
    at("model", "emil", "churn"),
    at("model", "emil", "iris"),
    at("version", "emil", "iris", 1),
    at("version", "emil", "churn", 2),
    at("version", "emil", "churn", 3),
    at("version", "emil", "wine", 1),
    at("transition", "emil", row("rollout")),
    at("transition", "emil", row("shadow")),
    at("transition", "emil", row("paused")),
    at("transition", "emil", row("finished")),
    at("compare", "emil", "churn", query="?a=1&b=2"),
    at("compare", "emil", "churn", query="?a=1&b=1", status=400),
    at("compare-text", "emil", "churn", "params", query="?a=1&b=2&name=depth"),
    at("versions", "emil"),
    at("versions", "emil", query="?filter=tags.framework = 'sklearn'"),
    at("versions", "emil", query="?filter=what?", status=422),
    at("live", "emil", "iris"),
    at("live", "emil", "iris", query="?at=yesterday", status=422),
    at("evidence", "emil", "churn", 2, seen("load_test")),
    at("evidence", "emil", "churn", 2, seen("malformed_input")),
    at("evidence", "emil", "churn", 2, seen("artifact_scan")),
    at("evidence", "emil", "churn", 2, seen("drift")),
    at("evidence", "emil", "churn", 2, seen("unit_tests")),
    at("from-mlflow-run", "emil", "ab" * 16),
    at("model-metrics", "emil", "churn", query="?metric=f1_macro"),
    at("model-metrics", "emil", "iris"),
    at("tokens", "emil"),
    at("api-docs", "emil"),
    # ------------------------------------------------------------ what one checks
    at("record", "aron"),
    at("record", "aron", query="?model=nothing-has-this-name"),
    at("record-entry", "aron", lambda shown: shown.entry),
    at("exports", "aron"),
    at("dossier", "aron", "iris", 2),
    at("policies", "aron"),
    at("policy", "aron", 2),
    at("policy", "aron", 3),
    at("retention", "aron"),
    at("retention", "aron", query="?show=stuck"),
    at("retention", "aron", query="?show=holds"),
    at("retention", "aron", query="?show=protected"),
    at("retention", "aron", query="?show=staging"),
    at("retention", "aron", query="?show=deleted"),
    at("retention", "aron", query="?show=runs"),
    at("freezes", "aron"),
    at("people", "aron", status=403),
    Screen("model", "aron", lambda shown: "/models/nothing-has-this-name/", 404),
    # ------------------------------------------------------------ what one administers
    at("status", "ada"),
    at("people", "ada"),
    at("profile", "aron", key_of("emil")),
    at("person", "ada", row("nora")),
    at("person", "ada", key_of("mia")),
    at("person", "ada", key_of("emil")),
    at("teams", "ada"),
    at("team", "ada", lambda shown: shown.team.slug),
    at("channels", "ada"),
    at("delivery", "ada"),
    at("tokens", "ada", query="?whose=everybody"),
    at("freezes", "ada"),
    at("plan-freeze", "ada"),
    at("policy", "ada", 3),
    at("edit-policy", "ada"),
    at("edit-policy", "ada", query="?model=churn"),
    at("retention", "ada"),
    at("transition", "ada", row("decision")),
    at("transition", "ada", row("bypassed")),
    at("model", "ada", "churn"),
)
"""Who looks at what; a screen stands here as often as it looks different."""

ACCOUNT = ("account", "account_reauthenticate", "mfa_reauthenticate", "mfa_reauthenticate_webauthn")
CONFIRMED = (
    "account_change_password",
    "mfa_deactivate_totp",
    "mfa_view_recovery_codes",
    "mfa_generate_recovery_codes",
    "mfa_add_webauthn",
    "mfa_edit_webauthn",
    "mfa_remove_webauthn",
)
"""What a person may do to their account once they have confirmed that it is them."""

ELSEWHERE = {
    "mfa_index": "another name of the account's page",
    "account_login": "another name of the sign-in page",
    "dossier-pdf": "a PDF",
    "policy-file": "a file",
    "download-export": "a file",
    "version-charts": "figures for a script",
    "transition-charts": "figures for a script",
    "mfa_login_webauthn": "answers the browser's passkey dialog",
    "provider-callback": "the provider leads there; it shows the page of a failed sign-in or goes on",
    "inbox-count": "a part of the frame",
    "pictures": "a part of the version's page",
    "lineage": "a part of the version's page",
    "picture": "a picture",
    "from-mlflow-version": "leads to the version",
    "people-named": "leads to a profile",
    "healthz": "for machines",
    "readyz": "for machines",
    "metrics": "for machines",
    "sign-in": "test_signing_in",
    "mfa_authenticate": "test_signing_in",
    "set-password": "test_signing_in",
    "account_inactive": "test_signing_in",
    **dict.fromkeys(ACCOUNT, "test_own_account"),
    **dict.fromkeys(CONFIRMED, "test_own_account"),
    "mfa_activate_totp": "test_own_account",
    "confirm-with-provider": "needs a provider; it is the page of confirming by password with another button",
}
"""What is not a screen, and what another test of this file looks at."""


def test_no_screen_is_forgotten():
    answering = {name for name, methods in permissions.PAGES.items() if "GET" in methods}
    visited = {screen.name for screen in SCREENS}
    assert answering - visited - set(ELSEWHERE) == set()
    assert visited & set(ELSEWHERE) == set()
    assert (visited | set(ELSEWHERE)) - answering == set()


# ---------------------------------------------------------------- looking


class Looking:
    """What is wrong with the screens that one browser shows."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.found: list[str] = []
        self.titles: dict[str, str] = {}
        self._dialogs: set[str] = set()

    def open(self, path: str, *, name: str = "", status: int = 200) -> None:
        answer = self.page.goto(path)
        place = path
        if answer is None or answer.status != status:
            self._note(place, [f"answered {answer and answer.status} instead of {status}"])
        here = urlsplit(self.page.url).path
        if name and resolve(here).url_name != name and here != urlsplit(path).path:
            self._note(place, [f"led to {here}"])
        self.look(place)

    def look(self, place: str, *, titled: bool = True) -> None:
        """At the page as it is."""
        self.page.wait_for_function(DRAWN)
        self.page.evaluate(AXE_SCRIPT)
        self._note(place, self.page.evaluate(WRONG))
        if titled:
            self._title(place)
        self._note(f"{place}, light", self._violations(EVERYTHING))
        self._dark(place)
        self._narrow(place)
        self._open_dialogs(place)
        self._open_menus(place)

    def _note(self, place: str, complaints: Iterable[str]) -> None:
        self.found += [f"{place}: {each}" for each in complaints]

    def _title(self, place: str) -> None:
        title, path = self.page.title(), place.partition("?")[0]
        before = self.titles.setdefault(title, path)
        if before != path or title.startswith("·"):
            self._note(place, [f"has the title of {before}: {title}"])

    def _violations(self, options: dict[str, Any], within: str = "") -> list[str]:
        return [_told(each) for each in self.page.evaluate(AXE_RUN, [within, options])]

    def _dark(self, place: str, within: str = "") -> None:
        self.page.emulate_media(color_scheme="dark")
        self._note(f"{place}, dark", self._violations(COLOURS, within))
        self.page.emulate_media(color_scheme="light")

    def _narrow(self, place: str, within: str = "") -> None:
        self.page.set_viewport_size(NARROW)
        self.page.wait_for_function(FITTED)
        self._note(f"{place}, 320 px", [*self.page.evaluate(TOO_WIDE), *self._violations(SIZES, within)])
        self.page.set_viewport_size(DESK)

    def _open_dialogs(self, place: str) -> None:
        """Each kind once: those of a list's rows are alike."""
        for opener in self.page.locator("button[commandfor], a[data-dialog]").all():
            kind = _kind(opener.get_attribute("commandfor") or opener.get_attribute("href") or "")
            if kind in self._dialogs or not opener.is_visible() or not opener.is_enabled():
                continue
            self._dialogs.add(kind)
            self._look_at_dialog(f"{place}, {kind}", opener)

    def _look_at_dialog(self, place: str, opener: Any) -> None:
        opener.click()
        dialog = self.page.get_by_role("dialog")
        dialog.wait_for()
        self._note(place, self._violations(EVERYTHING, "dialog[open]"))
        self._dark(place, "dialog[open]")
        self._narrow(place, "dialog[open]")
        self.page.keyboard.press("Escape")
        dialog.wait_for(state="detached")
        if not opener.evaluate("each => each === document.activeElement"):
            self._note(place, ["closed, and the focus is not where it was"])

    def _open_menus(self, place: str) -> None:
        """Those of the frame, once: it is the same on every page."""
        for opener in self.page.locator("[data-menu] :is(summary, [aria-expanded])").all():
            kind = f"menu {opener.inner_text()}"
            if kind in self._dialogs or not opener.is_visible():
                continue
            self._dialogs.add(kind)
            opener.click()
            self._note(f"{place}, {kind}", self._violations(EVERYTHING, "header"))
            self._dark(f"{place}, {kind}", "header")
            self.page.keyboard.press("Escape")


def _kind(address: str) -> str:
    """What a dialog is, without the number of what it is about."""
    return "".join(each for each in address if not each.isdigit())


def _told(violation: list[Any]) -> str:
    rule, nodes = violation
    shown = "; ".join(f"{html[:160]} ({why.splitlines()[-1].strip()})" for html, why in nodes[:3])
    return f"{rule} ({len(nodes)}): {shown}"


@contextmanager
def looking(page: Page) -> Iterator[Looking]:
    looked = Looking(page)
    yield looked
    assert not looked.found, "\n" + "\n".join(looked.found)


@pytest.fixture
def shown(world, transactional_db, settings, tmp_path) -> Shown:
    return filled(world, settings, tmp_path)


# ---------------------------------------------------------------- the screens


@pytest.mark.parametrize("who", ["priya", "emil", "aron", "ada"])
def test_screens(shown, at_portal, complaints, who):
    complaints.expected |= {screen.status for screen in SCREENS if screen.who == who and screen.status >= 400}
    with looking(at_portal(who, viewport=DESK, reduced_motion="reduce")) as looked:
        for screen in (each for each in SCREENS if each.who == who):
            looked.open(screen.path(shown), name=screen.name, status=screen.status)


def test_before_anything_is_there(world, transactional_db, at_portal, complaints):
    emptied(world)
    with looking(at_portal("ada", viewport=DESK, reduced_motion="reduce")) as looked:
        for name in EMPTY:
            looked.open(reverse(name), name=name)


def confirm(page: Page, password: str) -> None:
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url("**/account/")


def test_own_account(shown, at_portal, complaints):
    passkey = Authenticator.objects.get(type=Authenticator.Type.WEBAUTHN).pk
    own = {"mfa_edit_webauthn": [passkey], "mfa_remove_webauthn": [passkey]}
    with looking(at_portal("mia", viewport=DESK, reduced_motion="reduce")) as looked:
        for name in ACCOUNT:
            looked.open(reverse(name), name=name)
        looked.page.goto("/account/confirm/?next=/account/")
        confirm(looked.page, "mia")
        for name in CONFIRMED:
            looked.open(reverse(name, args=own.get(name)), name=name)
    with looking(
        at_portal("emil", "/account/confirm/?next=/account/", viewport=DESK, reduced_motion="reduce")
    ) as looked:
        confirm(looked.page, "emil")
        looked.open("/account/app/", name="mfa_activate_totp")


def test_signing_in(shown, at_portal, complaints):
    complaints.expected |= {403, 429}
    with looking(at_portal("mia", viewport=DESK, reduced_motion="reduce")) as looked:
        page = looked.page
        page.context.clear_cookies()
        looked.open("/sign-in/not-active/", status=403)
        looked.open(shown.link)
        page.get_by_role("heading", level=1).wait_for()
        looked.open("/sign-in/password/Ng/no-such-link/")
        looked.open("/sign-in/", name="sign-in")
        sign_in(page, "mia", "wrong")
        page.get_by_role("alert").wait_for()
        looked.look("/sign-in/ after a mistake", titled=False)
        sign_in(page, "mia", "mia")
        page.wait_for_url("**/second-factor/")
        looked.look("/sign-in/second-factor/")


def sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def fails(error: Exception) -> Callable[..., None]:
    def failing(*args: Any) -> None:
        raise error

    return failing


def test_what_goes_wrong(shown, at_portal, complaints, monkeypatch):
    complaints.expected |= set(ERRORS)
    with looking(at_portal("emil", viewport=DESK, reduced_motion="reduce")) as looked:
        for status, error in ERRORS.items():
            monkeypatch.setattr(version_search, "matching", fails(error))
            looked.open(f"/versions/?{status}", status=status)
        page = looked.page
        page.goto("/account/")
        page.evaluate(
            "document.querySelectorAll('[name=csrfmiddlewaretoken]').forEach((each) => { each.value = 'x'; })"
        )
        page.locator("main form[method=post]").first.evaluate("form => form.submit()")
        page.wait_for_load_state()
        looked.look("/account/ without the token of its form", titled=False)
