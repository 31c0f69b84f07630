"""Waiting for what other programs do in their own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")


def eventually(look: Callable[[], Seen], holds: Callable[[Seen], bool], *, seconds: float = 10) -> Seen:
    """What ``look`` sees once ``holds`` is true of it; fails with the last sight after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not holds(seen := look()):
        assert time.monotonic() < deadline, f"after {seconds:g} s still {seen!r}"
        time.sleep(0.01)
    return seen
