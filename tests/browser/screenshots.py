"""Pictures of the running demo, light and dark, wide and on a phone.

    python -m tests.browser.screenshots docs/screens

Starts an installation of its own, takes a version to a quarter of the traffic, and photographs what people see.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from embedded.ports import Ports
from embedded.stack import SERVICES, Stack
from embedded.steps import Steps
from tests.browser.conftest import FLAGS, find_browser
from tests.support.people import Team

MODEL = "iris-random-forest"
SIZES = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


OTHER = "diabetes-progression"


def prepare(team: Team) -> dict[str, str]:
    """Something of everything; the pages to photograph, by name."""
    values = team["ada"].get("policies/3/")["values"] | {"soak": {"duration": "20s", "requests": 20}}
    team["ada"].post("policies/", values=values, reason="Nobody wants to wait for a photograph.")
    for criterion in ("code_review", "security_scan"):
        report = {"criterion": criterion, "outcome": "passed", "detail": "Looked at for the photograph."}
        team["mia"].post(f"models/{OTHER}/versions/2/evidence/", **report)
    for model in (MODEL, OTHER):
        await_gate(team, model, "Staging")
        team.await_transition(team.approved(model, 2, "Staging"))
    for model in (MODEL, OTHER):
        await_gate(team, model, "Production")
    asked = team.ask(OTHER, 2, "Production", "RMSE is lower on the held-out rows.")
    running = team.approved(MODEL, 2, "Production")
    team.await_transition(running, until=lambda row: row["step"] == 1 and row["step_since"])
    return {
        "home": "/",
        "inbox": "/inbox/",
        "models": "/models/",
        "model": f"/models/{MODEL}/",
        "version": f"/models/{MODEL}/versions/2/",
        "gate": f"/models/{MODEL}/versions/3/",
        "load-test": newest_evidence(team, MODEL, "load_test"),
        "artifact-scan": newest_evidence(team, MODEL, "artifact_scan"),
        "policies": "/policies/",
        "policy": "/policies/3/",
        "retention": "/retention/",
        "decision": f"/transitions/{asked}/",
        "rollout": f"/transitions/{running}/",
        "record": "/record/",
    }


def await_gate(team: Team, model: str, stage: str, seconds: float = 300) -> None:
    """Until version 2 of the model lacks nothing but the approvals on its way to the stage."""
    deadline = time.monotonic() + seconds
    while True:
        findings = team["aron"].get(f"models/{model}/versions/2/gate/?to={stage}")["findings"]
        closed = {each["criterion"]: each["why"] for each in findings if each["state"] not in ("passed", "waived")}
        if set(closed) <= {"approvals"}:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"the gate of {model} stays closed: {closed}")
        time.sleep(1)


def newest_evidence(team: Team, model: str, criterion: str) -> str:
    """The address of the page of version 2's newest evidence of a criterion."""
    rows = team["aron"].get(f"models/{model}/versions/2/evidence/")["results"]
    return f"/models/{model}/versions/2/evidence/{next(row['id'] for row in rows if row['criterion'] == criterion)}/"


def photograph(browser: Browser, portal: str, team: Team, pages: dict[str, str], folder: Path) -> None:
    for theme in ("light", "dark"):
        for size, viewport in SIZES.items():
            context = browser.new_context(base_url=portal, viewport=viewport, color_scheme=theme, device_scale_factor=1)
            page = context.new_page()
            page.goto("/sign-in/")
            page.get_by_label("Name").fill("priya")
            page.get_by_label("Password").fill(team.passwords["priya"])
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("navigation", name="Main").wait_for()
            for name, address in pages.items():
                page.goto(address)
                page.screenshot(path=folder / f"{name}-{size}-{theme}.png")
            context.close()


def start(home: Path) -> Stack:
    """The demo, with an hour of the schedule lasting a minute: long enough to be photographed."""
    settings = {"STAGEGATE_DEMO_HOUR_SECONDS": "60"}
    return Stack(home, Ports.free(), services=SERVICES, settings=settings, steps=Steps())


def main(folder: Path) -> int:
    path = find_browser()
    if path is None:
        print("No Chromium was found: install it, or name one in STAGEGATE_BROWSER.", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stagegate-screens-") as home, start(Path(home)) as stack:
        portal = stack.environment()["STAGEGATE_PUBLIC_URL"]
        team = Team(portal, Path(home))
        pages = prepare(team)
        with sync_playwright() as playwright:
            flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
            browser = playwright.chromium.launch(executable_path=path, args=flags)
            photograph(browser, portal, team, pages, folder)
            browser.close()
        team.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
