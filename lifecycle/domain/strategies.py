"""The words of a rollout: how requests move, who is kept with which version, and what a breach does."""

from __future__ import annotations

from enum import StrEnum


class Strategy(StrEnum):
    """How requests come to a version that enters Production."""

    CANARY = "canary"
    """More and more requests, step by step, each step judged."""
    BLUE_GREEN = "blue_green"
    """Brought up beside the old version and checked, then all requests at once."""
    SHADOW = "shadow"
    """First copies of the requests, whose answers nobody gets; then all requests at once."""

    @property
    def label(self) -> str:
        return {Strategy.BLUE_GREEN: "blue-green"}.get(self, self.value)


class Sticky(StrEnum):
    """By what a user is kept with one version."""

    NONE = "none"
    COOKIE = "cookie"
    HEADER = "header"


class BreachAction(StrEnum):
    """What happens when a threshold is breached."""

    HOLD = "hold"
    ROLL_BACK = "roll_back"


class Gateway(StrEnum):
    """Whose metrics a Prometheus has collected."""

    TRAEFIK = "traefik"
    ENVOY = "envoy"
    ISTIO = "istio"
