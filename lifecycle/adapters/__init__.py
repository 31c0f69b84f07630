"""The only importers of SDKs. The functions give what the settings name for each port."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from django.conf import settings
from django.utils.module_loading import import_string

from lifecycle.ports import CheckpointPlace, Messages, Metrics, Registry, Serving, Traffic


@cache
def _built(name: str) -> Any:
    """Built once a process by the settings' factory, which is named and not imported: a process loads the SDKs
    of the ports it uses and no others."""
    return import_string(settings.ADAPTERS[name])()


def registry() -> Registry:
    return cast(Registry, _built("registry"))


def serving() -> Serving:
    return cast(Serving, _built("serving"))


def traffic() -> Traffic:
    return cast(Traffic, _built("traffic"))


def metrics() -> Metrics:
    return cast(Metrics, _built("metrics"))


def messages() -> Messages:
    return cast(Messages, _built("messages"))


def checkpoint_places() -> tuple[CheckpointPlace, ...]:
    return cast("tuple[CheckpointPlace, ...]", _built("checkpoint_places"))


def forget() -> None:
    """Build the adapters anew at their next use: for tests that change the settings."""
    _built.cache_clear()
