"""A person at the portal's REST API, over real HTTP."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

LOOK_SECONDS = 0.25
"""How often the portal is asked how far something is: an answer takes the portal, and the person, some CPU."""
LONGEST_REFUSAL = 4000
"""Characters of an answer that an error repeats: which rule refused, and what it found."""
SAY_IT_AGAIN = ("confirm_again", "changed_since_shown")
ENDED = ("finished", "rolled_back", "rejected", "cancelled", "failed")


class Person:
    """Somebody who is signed in. Close it when done; an answer that is not 2xx raises httpx.HTTPStatusError."""

    def __init__(self, portal: str, username: str, password: str) -> None:
        self._client = httpx.Client(base_url=portal, timeout=30, follow_redirects=True, trust_env=False)
        self._client.get("/sign-in/").raise_for_status()
        form = {"username": username, "password": password, "csrfmiddlewaretoken": self._csrf()}
        self._client.post("/sign-in/", data=form, headers={"Referer": portal}).raise_for_status()
        if "stagegate_session" not in self._client.cookies:
            raise RuntimeError(f"{username} could not sign in")

    def _csrf(self) -> str:
        return self._client.cookies["stagegate_csrf"]

    def get(self, address: str) -> Any:
        response = self._client.get(f"/api/v1/{address}")
        response.raise_for_status()
        return response.json()

    def page(self, address: str) -> httpx.Response:
        return self._client.get(address)

    def post(self, address: str, **body: Any) -> Any:
        response = self.try_post(address, **body)
        try:
            response.raise_for_status()
        except httpx.HTTPStatusError as refusal:
            refusal.add_note(response.text[:LONGEST_REFUSAL])
            raise
        return response.json()

    def try_post(self, address: str, **body: Any) -> httpx.Response:
        headers = {"X-CSRFToken": self._csrf(), "Referer": str(self._client.base_url)}
        return self._client.post(f"/api/v1/{address}", json=body, headers=headers)

    def close(self) -> None:
        self._client.close()


class Team:
    """The demo's people, signed in when first needed."""

    def __init__(self, portal: str, home: Path) -> None:
        self._portal = portal
        rows = json.loads((home / "secrets" / "demo_people.json").read_text())
        self.passwords: dict[str, str] = {row["username"]: row["password"] for row in rows}
        self._people: dict[str, Person] = {}
        self.asked: list[int] = []
        """The transitions that were asked for, by id."""

    def __getitem__(self, username: str) -> Person:
        if username not in self._people:
            self._people[username] = Person(self._portal, username, self.passwords[username])
        return self._people[username]

    def close(self) -> None:
        for person in self._people.values():
            person.close()

    def ask(self, model: str, version: int, to_stage: str, reason: str = "It is better.", strategy: str = "") -> int:
        body = {"model": model, "version": version, "to_stage": to_stage, "reason": reason}
        chosen = {"strategy": strategy} if strategy else {}
        self.asked.append(int(self["emil"].post("transitions/", **body, **chosen)["id"]))
        return self.asked[-1]

    def approve(self, pk: int, *names: str) -> None:
        """Each says yes, once more where they signed in too long ago, or where something has changed meanwhile."""
        for name in names:
            answer = self._say_yes(name, pk)
            while answer.status_code in (403, 409) and answer.json().get("rule") in SAY_IT_AGAIN:
                if answer.json()["rule"] == "confirm_again":
                    self._people.pop(name).close()
                answer = self._say_yes(name, pk)
            answer.raise_for_status()

    def _say_yes(self, name: str, pk: int) -> httpx.Response:
        return self[name].try_post(f"transitions/{pk}/approve/", reason="The figures are good.")

    def approved(self, model: str, version: int, to_stage: str, strategy: str = "") -> int:
        pk = self.ask(model, version, to_stage, strategy=strategy)
        self.approve(pk, *(("mia", "priya") if to_stage == "Production" else ("mia",)))
        return pk

    def transition(self, pk: int) -> dict[str, Any]:
        return dict(self["aron"].get(f"transitions/{pk}/"))

    def await_transition(
        self,
        pk: int,
        until: Callable[[dict[str, Any]], bool] = lambda row: row["status"] in ENDED,
        seconds: float = 120,
    ) -> dict[str, Any]:
        """Fail unless the condition comes true in time. A portal that was killed meanwhile is asked again."""
        deadline = time.monotonic() + seconds
        row: dict[str, Any] = {}
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                row = self.transition(pk)
            if row and until(row):
                return row
            time.sleep(LOOK_SECONDS)
        raise AssertionError(
            f"transition {pk} is {row.get('status')}, step {row.get('step')}, waiting for: {row.get('waiting_for')}"
        )
