"""MLflow's filters: what they mean, and where one that cannot be read is wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain.version_filter import Condition, FilterError, parse

READ = [
    ("", ()),
    ("  ", ()),
    ("tags.environment='production'", (Condition("tag", "=", ("production",), "environment"),)),
    ('tag.environment != "it\'s"', (Condition("tag", "!=", ("it's",), "environment"),)),
    ("tags.`data version` LIKE '2024-%'", (Condition("tag", "LIKE", ("2024-%",), "data version"),)),
    ("tags.mlflow.user = 'o''hara'", (Condition("tag", "=", ("o'hara",), "mlflow.user"),)),
    ("tags.`2024` ilike 'Y_s'", (Condition("tag", "ILIKE", ("Y_s",), "2024"),)),
    ("version_number >= 3", (Condition("version_number", ">=", (3,)),)),
    (
        "attribute.name = 'iris' and run_id = 'a1'",
        (Condition("name", "=", ("iris",)), Condition("run_id", "=", ("a1",))),
    ),
    ("name not in ('a', 'b')", (Condition("name", "NOT IN", ("a", "b")),)),
    ("stage IN ('Production','Staging')", (Condition("stage", "IN", ("Production", "Staging")),)),
    ("alias = 'production'", (Condition("alias", "=", ("production",)),)),
    ("source_path LIKE 's3://%'", (Condition("source_path", "LIKE", ("s3://%",)),)),
]


@pytest.mark.parametrize(("text", "conditions"), READ)
def test_a_filter_is_read(text, conditions):
    assert parse(text) == conditions


WRONG = [
    ("nam = 'x'", 1, "There is no key nam"),
    ("tags. = 'x'", 5, "does not belong here"),
    ("metrics.f1 = 'x'", 1, "There is no key metrics.f1"),
    ("tags.environment", 17, "found the end"),
    ("tags.environment > 'x'", 18, "one of =, !=, LIKE and ILIKE for a tag"),
    ("tags.environment = production", 20, "Expected a text in quotes"),
    ("tags.environment = 'production", 20, "no counterpart"),
    ("tags.a = 'x' OR tags.b = 'y'", 14, "There is no OR"),
    ("tags.a = 'x' tags.b = 'y'", 14, "Expected AND"),
    ("tags.a = 'x' AND", 17, "found the end"),
    ("source_path IN ('x')", 13, "one of"),
    ("name IN 'x'", 9, "Expected a list"),
    ("name IN ('x' 'y')", 14, "Expected a comma"),
    ("name IN ()", 10, "Expected a text"),
    ("stage = 'production'", 9, "There is no stage"),
    ("version_number = 1.5", 18, "does not belong"),
    ("version_number = 99999999999", 18, "No version number"),
    ("name = 'x'; DROP TABLE", 11, "does not belong"),
    ("name = 5", 8, "Expected a text"),
    (f"name LIKE '{'%a' * 30}'", 11, "at most 20 wildcards"),
    (" AND ".join(["name = 'x'"] * 21), 301, "at most 20 conditions"),
    ("x" * 3000, 2001, "longer than 2,000"),
]


@pytest.mark.parametrize(("text", "position", "words"), WRONG)
def test_what_cannot_be_read_says_where_and_what_would_be_right(text, position, words):
    with pytest.raises(FilterError) as wrong:
        parse(text)
    assert wrong.value.position == position
    assert words in str(wrong.value)


@given(st.text(alphabet="tags.name`'\"=!<>%() AND\x00\u202e1é,-", max_size=60))
@settings(max_examples=200)
def test_anything_is_read_or_refused(text):
    position = 1
    try:
        parse(text)
    except FilterError as wrong:
        position = wrong.position
    assert 1 <= position <= len(text) + 1
