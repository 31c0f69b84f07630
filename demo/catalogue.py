"""The versions that the demonstration has, and which of them a registry still lacks.

Light on purpose: every start asks what is missing, and only then pays for loading MLflow and scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx

IRIS = "iris-random-forest"
DIABETES = "diabetes-progression"
ASK_SECONDS = 10.0

MODELS = {
    IRIS: "Names the species of an iris from measurements of its flower. A demonstration on R. A. Fisher's data.",
    DIABETES: "Foretells how far diabetes has progressed a year from now. A demonstration on the data of Efron et al.",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One version to be: ``description`` is what its page says."""

    model: str
    semantic_version: str
    description: str

    def __str__(self) -> str:
        return f"{self.model} {self.semantic_version}"


ENTRIES = (
    Entry(IRIS, "1.0.0", "The first version. Every measurement is cut into four bins before the forest sees it."),
    Entry(
        IRIS,
        "1.0.1",
        "Fix in the preprocessing: measurements are no longer cut into bins, which had put long petals of versicolor "
        "together with short ones of virginica.",
    ),
    Entry(
        IRIS,
        "1.1.0",
        "Takes the sepal's width as a new, optional column. Requests without it are answered as before: the forest was "
        "trained with the column missing from half of the rows.",
    ),
    Entry(
        IRIS,
        "1.1.1",
        "Slow, on purpose: to steady its answer it averages the forest over many slightly changed copies of each row, "
        "one call a copy. A request takes some 200 ms instead of 5. Shows what a rollout does about latency.",
    ),
    Entry(
        IRIS,
        "1.1.2",
        "Fails on some requests, on purpose: it looks the usual petal width up in a table made from the training rows, "
        "and the table has no entry for what they lacked. About 9 of 100 flowers end in an error. Shows what a "
        "rollout does about errors.",
    ),
    Entry(
        IRIS,
        "2.0.0",
        "Breaking change of the output: a table with the species and how sure the forest is, where 1.x answered with "
        "the species alone.",
    ),
    Entry(DIABETES, "1.0.0", "The first version: ridge regression on age, sex, body and blood measurements."),
    Entry(
        DIABETES,
        "1.1.0",
        "Takes the logarithm of triglycerides as a new, optional column, and foretells better where it is given. "
        "Requests without it are answered nearly as well as before.",
    ),
)


def missing(tracking_uri: str) -> list[Entry]:
    """The entries that the MLflow at ``tracking_uri`` has no version of. Raises httpx.HTTPError."""
    known = registered(tracking_uri)
    return [entry for entry in ENTRIES if entry not in known]


def registered(tracking_uri: str) -> dict[Entry, int]:
    """MLflow's number of every entry that it has a version of. Raises httpx.HTTPError."""
    numbers = {(model, tag): number for model in MODELS for tag, number in _semantic_versions(tracking_uri, model)}
    return {
        entry: numbers[entry.model, entry.semantic_version]
        for entry in ENTRIES
        if (entry.model, entry.semantic_version) in numbers
    }


def _semantic_versions(tracking_uri: str, model: str) -> Iterator[tuple[str, int]]:
    """The semantic version and number of every version that has one."""
    query = {"filter": f"name='{model}'", "max_results": "200"}
    with httpx.Client(base_url=tracking_uri, timeout=ASK_SECONDS, trust_env=False) as client:
        while True:
            answer = client.get("/api/2.0/mlflow/model-versions/search", params=query).raise_for_status().json()
            for version in answer.get("model_versions", []):
                tags = {tag["key"]: tag["value"] for tag in version.get("tags", [])}
                if "semantic_version" in tags:
                    yield tags["semantic_version"], int(version["version"])
            if not answer.get("next_page_token"):
                return
            query["page_token"] = answer["next_page_token"]
