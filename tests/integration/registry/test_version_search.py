"""A search of the mirror finds what MLflow's own search finds."""

import pytest
from django.utils import timezone

from lifecycle import mirror, version_search
from tests.contract.registry import new_name

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

FILTERS = [
    "",
    "tags.environment='production'",
    'tags.environment = "production" AND version_number > 1',
    "tags.environment != 'production'",
    "tags.environment LIKE 'prod%'",
    "tags.environment LIKE 'PROD%'",
    "tags.environment ILIKE 'PROD%'",
    "tags.`data version` = '2024-01-15'",
    "tags.`data version` LIKE '2024-__-15'",
    "tags.`2024` = 'y'",
    "tags.mark LIKE '%*%'",
    "tags.mark LIKE '[*]%'",
    "tags.mark LIKE '%100!%%'",
    "tags.ключ = 'значение'",
    "tags.environment = 'production' AND tags.mark = 'plain'",
    "tags.absent != 'x'",
    "version_number <= 2",
    "version_number = '3'",
    "version_number != 3",
    "source_path LIKE 's3://%'",
    "source_path ILIKE 'S3://%'",
    "run_id = 'none'",
    "run_id != 'none'",
    "run_id NOT IN ('none')",
]


@pytest.fixture
def stem(world, registry):
    """Two models whose names begin alike, with awkward tags, mirrored."""
    stem = new_name()
    tags = [
        {"environment": "production", "data version": "2024-01-15", "mark": "plain"},
        {"environment": "Production", "2024": "y", "mark": "[*] star"},
        {"environment": "staging", "ключ": "значение", "mark": "100!% sure"},
        {},
    ]
    for name in (f"{stem}-a", f"{stem}-b"):
        world.create_model(name)
        refs = [world.create_version(name, tags=each) for each in tags]
        refs.append(world.create_version(name, metrics={"f1": 0.9}))
        mirror.refresh_model(registry, name, timezone.now())
        world.delete_version(refs.pop(3))
        for ref in refs:
            mirror.refresh_version(registry, ref, timezone.now())
    return stem


def test_the_same_filter_finds_the_same_versions(world, registry, stem):
    for text in FILTERS:
        whole = f"name LIKE '{stem}%'" + (f" AND {text}" if text else "")
        answer = world.call("GET", "mlflow/model-versions/search", filter=whole, max_results=1000)
        theirs = {(each["name"], int(each["version"])) for each in answer.get("model_versions", [])}
        ours = {(row.model.name, row.version) for row in version_search.matching(whole)}
        assert ours == theirs, text
