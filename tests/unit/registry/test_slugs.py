"""Every name gets a safe slug of its own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.domain.slugs import is_slug, slug_of

FORM = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
ANY_NAME = st.text(st.characters(), max_size=200)


@pytest.mark.parametrize("name", ["iris-random-forest", "a", "7", "a-b-c", "x" * 63])
def test_a_safe_name_is_its_own_slug(name: str) -> None:
    assert slug_of(name) == name


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Iris", "iris"),
        ("iris_forest", "iris-forest"),
        ("a--b", "a-b"),
        ("-a", "a"),
        ("a-", "a"),
        ("Größe", "groe"),
        ("x" * 64, "x" * 54),
        ("<img src=x onerror=alert(1)>", "img-src-x-onerror-alert-1"),
        ("../../etc", "etc"),
        ("a\x00b", "a-b"),
    ],
)
def test_an_unsafe_name_gets_a_readable_stem_and_a_hash(name: str, stem: str) -> None:
    assert re.fullmatch(re.escape(stem) + "-[0-9a-f]{8}", slug_of(name))


@pytest.mark.parametrize("name", ["", "..", "模型", "\ud800", "\u202e"])
def test_a_name_without_letters_is_all_hash(name: str) -> None:
    assert re.fullmatch("[0-9a-f]{8}", slug_of(name))


def test_names_that_differ_by_case_differ_by_more_than_case() -> None:
    slugs = [slug_of(name) for name in ("iris", "Iris", "IRIS")]
    assert len({slug.lower() for slug in slugs}) == 3


def test_a_model_named_like_anothers_slug_gets_another() -> None:
    first = slug_of("Iris")
    assert slug_of(first, {first}) != first
    assert slug_of("Iris", {slug_of("Iris")}) != slug_of("Iris")


@given(ANY_NAME)
def test_slugs_are_safe(name: str) -> None:
    slug = slug_of(name)
    assert FORM.fullmatch(slug)
    assert "--" not in slug
    assert is_slug(slug)
    assert slug == slug_of(name)


@given(st.lists(ANY_NAME | st.sampled_from(["a", "A", "a-", "a_"]), unique=True, max_size=20))
def test_slugs_are_unique(names: list[str]) -> None:
    taken: set[str] = set()
    for name in names:
        slug = slug_of(name, taken)
        assert slug not in taken
        taken.add(slug)
