"""Where a model's files are, and which of these places may be emptied.

A version's source is chosen by whoever registers it, so it is untrusted text: it is taken apart here, and whatever is
not a plain address is refused. An address with ``%``, ``#`` or ``?`` means different things to those who decode it and
those who do not (CVE-2024-3848), so none is taken.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass

from lifecycle.ports import PermanentError

STORE = "mlflow-artifacts"
"""The scheme of the store that MLflow's server stands in front of."""

# A path on this machine or a web address would make us read files or reach hosts for whoever registered it.
FETCHABLE_SCHEMES = frozenset({STORE, "s3", "gs", "wasb", "wasbs", "abfs", "abfss", "hdfs", "r2"})

_AMBIGUOUS = re.compile(r"[%#?\\\x00-\x1f\x7f]")
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{7,63}")


@dataclass(frozen=True, slots=True)
class Place:
    """A directory, or a single file, in an artifact store. ``parts`` are the components of its path."""

    scheme: str
    authority: str
    parts: tuple[str, ...]

    @property
    def path(self) -> str:
        return "/".join(self.parts)

    @property
    def address(self) -> str:
        authority = f"//{self.authority}" if self.authority else ""
        return f"{self.scheme}:{authority}/{self.path}"

    @property
    def parent(self) -> Place:
        return Place(self.scheme, self.authority, self.parts[:-1])

    @property
    def model_id(self) -> str:
        """The logged model whose directory this is, "" when it is not exactly that."""
        if len(self.parts) < 3 or (self.parts[-3], self.parts[-1]) != ("models", "artifacts"):
            return ""
        return self.parts[-2] if _MODEL_ID.fullmatch(self.parts[-2]) else ""


def parse(address: str) -> Place:
    """The place that an address names. Raises PermanentError for one that is not a plain path in a store."""
    if _AMBIGUOUS.search(address):
        raise PermanentError(f"{address[:200]!r} holds characters that an address of model files may not have.")
    split = urllib.parse.urlsplit(address)
    if split.scheme not in FETCHABLE_SCHEMES:
        raise PermanentError(
            f"The files are at {address[:200] or 'no address'!r}: "
            f"only {', '.join(sorted(FETCHABLE_SCHEMES))} addresses are read."
        )
    parts = tuple(split.path.removeprefix("/").split("/")) if split.path.strip("/") else ()
    if any(part in {"", ".", ".."} for part in parts):
        raise PermanentError(f"{address[:200]!r} does not name one directory.")
    return Place(split.scheme, split.netloc, parts)


def below(parent: Place, path: str) -> Place:
    """The place ``path`` below another. Raises PermanentError for a path that leads elsewhere."""
    return parse(f"{parent.address}/{path}")


def need_one_model(place: Place, run_id: str) -> None:
    """Raises PermanentError unless MLflow made this place for the files of one model.

    That is the directory of a logged model, ``.../models/<id>/artifacts``, or something below the artifacts of the
    version's own run, ``.../<run id>/artifacts/<name>``; never all of a run, an experiment or the store.
    """
    if place.model_id or _is_below_run(place.parts, run_id):
        return
    raise PermanentError(
        f"{place.address[:200]} is not a directory that MLflow made for the files of one model, "
        "so Stagegate does not delete it. Delete it by hand if nothing else is kept there."
    )


def _is_below_run(parts: tuple[str, ...], run_id: str) -> bool:
    if not _RUN_ID.fullmatch(run_id) or parts.count(run_id) != 1:
        return False
    after = parts[parts.index(run_id) + 1 :]
    return len(after) >= 2 and after[0] == "artifacts"
