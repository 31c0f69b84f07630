"""How static files are found and stored: our own, and Plotly's, which come with its Python package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import plotly
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage
from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage

PREFIX = "vendor/plotly"
LIBRARY = "plotly.min.js"
"""The package's folder also holds sample data and a notebook widget, which no page needs."""


class PlotlyFinder(BaseFinder):
    """Finds Plotly's library for browsers, in the version that the Python package was made for."""

    def __init__(self, app_names: Any = None, *args: Any, **kwargs: Any) -> None:
        self.storage = FileSystemStorage(location=Path(plotly.__file__).parent / "package_data")
        self.storage.prefix = PREFIX  # type: ignore[attr-defined]  # how finders say where their files go
        super().__init__(*args, **kwargs)

    def check(self, **kwargs: Any) -> list[Any]:
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        found = [self.storage.path(LIBRARY)] if path == f"{PREFIX}/{LIBRARY}" else []
        return found if find_all else next(iter(found), [])

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, FileSystemStorage]]:
        yield LIBRARY, self.storage


class GzippedManifestStorage(CompressedManifestStaticFilesStorage):
    """Names with digests, and gzip. Brotli would make Plotly a quarter smaller, and every start 20 s longer."""

    def create_compressor(self, **kwargs: Any) -> Compressor:
        return Compressor(**{**kwargs, "use_brotli": False})
