"""Pictures of the running demo, light and dark, wide and on a phone.

    python -m tests.browser.screenshots docs/screens var/screens

Starts an installation of its own, in which people ask, approve, watch a canary, take it back and drill a rollback.
Whole pages go to the second folder, to be looked at; what the README shows goes to the first one, and is made small.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from embedded.ports import Ports
from embedded.stack import SERVICES, Stack
from embedded.steps import Steps
from tests.support.chromium import FLAGS, find_browser
from tests.support.people import Team

MODEL, GOOD, LACKING, FAILING = "iris-random-forest", 2, 3, 5
OTHER, NEWER = "diabetes-progression", 2
OPENING_POLICY, DEMO_POLICY = 2, 3
SIZES: dict[str, dict[str, Any]] = {
    "wide": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
LOOKS = tuple(product(("light", "dark"), SIZES))
IN_README = {
    ("home", "wide"),
    ("gate", "wide"),
    ("rollout", "wide"),
    ("compare", "wide"),
    ("approve", "phone"),
    ("roll-back", "phone"),
}
PATIENCE = 180.0
"""Seconds for what takes some ten on a machine that has nothing else to do."""
MOST_STARTS = 4
"""How often a version is sent into Staging: a server that does not listen within a minute has failed."""
WATCHED_SECONDS = 40
"""How long the canary gets a quarter of the requests before it is photographed: its charts need points."""


# ---------------------------------------------------------------- what people do


@dataclass
class Story:
    """The life of versions in the demo. Every chapter ends when there is something to see."""

    team: Team
    refused: str = ""
    """What the last refused request was told."""

    def put_policies(self) -> None:
        """Nobody waits hours for a photograph; a machine that takes pictures besides is slow."""
        values = self.team["ada"].get(f"policies/{DEMO_POLICY}/")["values"]
        values["soak"] = {"duration": "20s", "requests": 20}
        values["service_levels"]["throughput"] = 10
        self.team["ada"].post("policies/", values=values, reason="Versions need not stay in Staging long.")
        opening = self.team["ada"].get(f"policies/{OPENING_POLICY}/")["values"]
        self.team["ada"].post("policies/", model=OTHER, values=opening, reason="Its tests are not automated yet.")

    def fail_in_staging(self) -> int:
        """The transition that takes the failing version out of Staging again, by itself."""
        self.into_staging(MODEL, FAILING)
        taken_out = until(self._taken_out, "the failing version to be taken out of Staging")
        self.into_staging(MODEL, GOOD)
        self.into_staging(OTHER, NEWER)
        return int(taken_out)

    def into_staging(self, model: str, version: int) -> None:
        """Once more where a busy machine has not started the server in time."""
        for _ in range(MOST_STARTS):
            pk = self.ask(model, version, "Staging", "Its tests are green.")
            self.team.approve(pk, "mia")
            row = self.team.await_transition(pk, seconds=PATIENCE)
            if row["status"] == "finished":
                return
        raise RuntimeError(f"transition {pk} is {row['status']}: {row['outcome']}")

    def _taken_out(self) -> int | None:
        entries = self.team["aron"].get(f"audit/?model={MODEL}&version={FAILING}")["results"]
        rows = [self.team.transition(pk) for pk in {entry["transition"] for entry in entries} - {None}]
        return next((row["id"] for row in rows if row["kind"] == "rollback" and row["finished_at"]), None)

    def ask(self, model: str, version: int, stage: str, reason: str, strategy: str = "") -> int:
        """Ask until it is taken: checks may still run, and something else may still move the model."""
        what = f"the request of {model} version {version} for {stage} to be taken"
        return int(until(lambda: self._ask_now(model, version, stage, reason, strategy), what, lambda: self.refused))

    def _ask_now(self, model: str, version: int, stage: str, reason: str, strategy: str) -> int | None:
        self._run_failed_checks(model, version, stage)
        try:
            return self.team.ask(model, version, stage, reason, strategy)
        except httpx.HTTPStatusError as refusal:
            if refusal.response.status_code != httpx.codes.CONFLICT:
                raise
            self.refused = refusal.response.text
            return None

    def _run_failed_checks(self, model: str, version: int, stage: str) -> None:
        """A check that a busy machine has let fail is run again; while it runs, asking for it is refused."""
        findings = self.team["aron"].get(f"models/{model}/versions/{version}/gate/?to={stage}")["findings"]
        for criterion in (each["criterion"] for each in findings if each["state"] == "failed"):
            self.team["emil"].try_post(f"models/{model}/versions/{version}/checks/", criterion=criterion)

    def send_to_a_quarter(self, pk: int) -> None:
        self.team.approve(pk, "mia", "priya")
        self.team.await_transition(pk, until=lambda row: row["step_since"], seconds=PATIENCE)
        until(lambda: self.team["aron"].get(f"rollouts/{pk}/")["verdict"], "the first verdict")
        self.team["emil"].post(f"rollouts/{pk}/skip/", reason="Nobody plants irises at night; 5 % says little now.")
        self.team.await_transition(pk, until=lambda row: row["step"] == 1 and row["step_since"], seconds=PATIENCE)

    def abort(self, pk: int) -> None:
        self.team["mia"].post(f"rollouts/{pk}/abort/", reason="Botanists say that its versicolor are virginica.")
        self.team.await_transition(pk, seconds=PATIENCE)

    def drill(self) -> int:
        drill = self.team["emil"].post(f"models/{OTHER}/drill/", reason="The monthly drill.")["id"]
        self.finish(drill)
        return int(drill)

    def finish(self, pk: int) -> None:
        row = self.team.await_transition(pk, seconds=PATIENCE)
        if row["status"] != "finished":
            raise RuntimeError(f"transition {pk} is {row['status']}: {row['outcome']}")

    def evidence(self, criterion: str) -> str:
        """The address of the page of the good version's newest evidence of a criterion."""
        rows = self.team["aron"].get(f"models/{MODEL}/versions/{GOOD}/evidence/")["results"]
        pk = next(row["id"] for row in rows if row["criterion"] == criterion)
        return f"/models/{MODEL}/versions/{GOOD}/evidence/{pk}/"


def until(look: Callable[[], Any], what: str, why: Callable[[], str] = str, seconds: float = 2 * PATIENCE) -> Any:
    """What the look finds, as soon as it finds something; ``why`` says what kept it, should it never."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:g} s in vain for {what}. {why()}")
        time.sleep(1)
    return found


# ---------------------------------------------------------------- photographs


def make_small(file: Path) -> None:
    with Image.open(file) as picture:
        few = picture.convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(file, optimize=True)


@dataclass
class Camera:
    """Browsers of every size and theme, in which the demo's people are signed in."""

    browser: Browser
    portal: str
    passwords: dict[str, str]
    shown: Path
    everything: Path
    pages: dict[tuple[str, str, str], Page] = field(default_factory=dict)
    closing: ExitStack = field(default_factory=ExitStack)

    def take(self, name: str, address: str, *, person: str = "priya", button: str = "", part: str = "") -> None:
        """The page in every theme and size; ``button`` opens a dialog first, ``part`` chooses a part of the page.

        Without a person nobody is signed in.
        """
        for theme, size in LOOKS:
            page = self._page(person, theme, size)
            page.goto(address)
            if button:
                page.get_by_role("button", name=button).first.click()
                page.get_by_role("dialog").wait_for()
            if page.locator("[data-course], [data-chart]").count():
                page.locator(".chart-canvas .main-svg").first.wait_for()
            file = f"{name}-{size}-{theme}.png"
            if part:
                page.locator(part).screenshot(path=self.everything / file)
            else:
                # A dialog stands in the window, whatever is below it on the page.
                page.screenshot(path=self.everything / file, full_page=not button)
            if (name, size) in IN_README:
                page.screenshot(path=self.shown / file)
                make_small(self.shown / file)

    def _page(self, person: str, theme: str, size: str) -> Page:
        if (person, theme, size) not in self.pages:
            self.pages[person, theme, size] = self._signed_in(person, color_scheme=theme, **SIZES[size])
        return self.pages[person, theme, size]

    def _signed_in(self, person: str, **options: Any) -> Page:
        context = self.browser.new_context(base_url=self.portal, device_scale_factor=1, **options)
        self.closing.callback(context.close)
        page = context.new_page()
        if not person:
            return page
        page.goto("/sign-in/")
        page.get_by_label("Name").fill(person)
        page.get_by_label("Password").fill(self.passwords[person])
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("navigation", name="Main").wait_for()
        return page


def photograph(story: Story, take: Callable[..., None]) -> None:
    """Pages that do not move are photographed while the next chapter comes about."""
    take("sign-in", "/sign-in/", person="")
    story.put_policies()
    taken_out = story.fail_in_staging()
    take("taken-out", f"/transitions/{taken_out}/")
    take("version", f"/models/{MODEL}/versions/{GOOD}/")
    take("gate", f"/models/{MODEL}/versions/{LACKING}/", person="emil")
    asked = story.ask(MODEL, GOOD, "Production", "It no longer takes long petals of versicolor for virginica.")
    take("decision", f"/transitions/{asked}/")
    take("approve", f"/transitions/{asked}/", button="Approve")
    take("inbox", "/inbox/")
    story.send_to_a_quarter(asked)
    quarter = time.monotonic()
    waiting = story.ask(OTHER, NEWER, "Production", "Its error is lower on the held-out rows.", "blue_green")
    for check in ("load_test", "malformed_input", "artifact_scan", "drift"):
        take(check.replace("_", "-"), story.evidence(check))
    time.sleep(max(quarter + WATCHED_SECONDS - time.monotonic(), 0))
    take("rollout", f"/transitions/{asked}/")
    take("charts", f"/transitions/{asked}/", part=".course")
    take("skip", f"/transitions/{asked}/", button="Go to 50 % now")
    take("roll-back", f"/transitions/{asked}/", button="Roll back")
    take("compare", f"/models/{MODEL}/compare/?a=1&b={GOOD}")
    take("home", "/")
    story.abort(asked)
    take("rolled-back", f"/transitions/{asked}/")
    story.team.approve(waiting, "mia", "priya")
    story.finish(waiting)
    take("drill-dialog", f"/models/{OTHER}/", person="emil", button="Drill a rollback")
    take("drill", f"/transitions/{story.drill()}/")
    take("emergency", f"/models/{OTHER}/", button="Roll back")
    for name, address in LASTING.items():
        take(name, address, person="ada")


LASTING = {
    "models": "/models/",
    "models-filtered": "/models/?search=iris&stage=Production",
    "model": f"/models/{MODEL}/",
    "live": f"/models/{MODEL}/live/",
    "dossier": f"/models/{MODEL}/versions/{GOOD}/dossier/",
    "versions": "/versions/",
    "policies": "/policies/",
    "policy": f"/policies/{DEMO_POLICY + 1}/",
    "policy-editor": "/policies/edit/",
    "freezes": "/freezes/",
    "plan-freeze": "/freezes/plan/",
    "retention": "/retention/",
    "record": "/record/",
    "record-entry": "/record/12/",
    "status": "/status/",
    "profile": "/people/?name=emil",
    "people": "/settings/people/",
    "teams": "/settings/teams/",
    "channels": "/settings/channels/",
    "account": "/account/",
    "notices": "/account/notices/",
    "tokens": "/account/tokens/",
    "api": "/api/docs/",
}
"""Pages that look the same whatever moves, by the name of their picture."""


def start(home: Path) -> Stack:
    """The demo, with an hour of the schedule lasting ten minutes: a step stays until all its pictures are taken."""
    settings = {"STAGEGATE_DEMO_HOUR_SECONDS": "600"}
    return Stack(home, Ports.free(), services=SERVICES, settings=settings, steps=Steps())


def main(shown: Path, everything: Path) -> int:
    path = find_browser()
    if path is None:
        print("No Chromium was found: install it, or name one in STAGEGATE_BROWSER.", file=sys.stderr)
        return 1
    for folder in (shown, everything):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.png"):
            old.unlink()
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
    with tempfile.TemporaryDirectory(prefix="stagegate-screens-") as home, start(Path(home)) as stack:
        portal = stack.environment()["STAGEGATE_PUBLIC_URL"]
        team, steps = Team(portal, Path(home)), Steps()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=flags)
            camera = Camera(browser, portal, team.passwords, shown, everything)

            def take(name: str, address: str, **options: str) -> None:
                with steps.step(f"Picture of {name}"):
                    camera.take(name, address, **options)

            photograph(Story(team), take)
            camera.closing.close()
            browser.close()
        team.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
