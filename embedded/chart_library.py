"""Fetches the browser's chart library in the version that the locked Plotly package draws for.

    python -m embedded.chart_library

The Python package brings the whole library along, three quarters of which are charts that no page has. Its publisher
offers smaller bundles on npm's registry alone, so the one with lines and bars stands in ``static/vendor/plotly``. Run
this after a new release of Plotly was locked; a test compares the two versions.
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import tarfile
from pathlib import Path

import httpx
from plotly.offline import get_plotlyjs_version

BUNDLE = "plotly.js-basic-dist-min"
REGISTRY = "https://registry.npmjs.org"
FOLDER = Path(__file__).resolve().parent.parent / "static" / "vendor" / "plotly"
FILES = ("plotly-basic.min.js", "LICENSE")


def fetch(version: str) -> bytes:
    """The bundle's archive, as the registry's digest says it must be. Raises httpx.HTTPError, or ValueError."""
    with httpx.Client(follow_redirects=True, timeout=60) as client:
        release = client.get(f"{REGISTRY}/{BUNDLE}/{version}").raise_for_status().json()["dist"]
        archive = client.get(release["tarball"]).raise_for_status().content
    algorithm, _, digest = release["integrity"].partition("-")
    if base64.b64encode(hashlib.new(algorithm, archive).digest()).decode() != digest:
        raise ValueError(f"{release['tarball']} is not what the registry says that it is. Do not use it.")
    return archive


def unpack(archive: bytes, folder: Path) -> None:
    """The files that pages need, and the licence that goes with them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for name in FILES:
            content = packed.extractfile(f"package/{name}")
            if content is None:
                raise ValueError(f"The bundle holds no {name}.")
            (folder / name).write_bytes(content.read())


def main() -> int:
    version = get_plotlyjs_version()
    unpack(fetch(version), FOLDER)
    print(f"plotly.js {version}, basic bundle: {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
