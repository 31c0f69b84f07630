"""One picture and one colour for each state, in both themes, well told apart; colours only in one style sheet."""

import re

import pytest

from lifecycle.domain.compare import MeasureState, VerdictKind
from lifecycle.domain.findings import State
from lifecycle.domain.stages import Stage
from lifecycle.models import Status
from portal import charts, signs
from tests.support.colours import ROOT, THEMES, colour, contrast, mixed, tokens

STYLES = sorted((ROOT / "static" / "css").glob("*.css"))
TEMPLATES = [each for each in (ROOT / "templates").rglob("*.html") if each.parent != ROOT / "templates" / "notices"]
"""Pages: mail readers want their styles inside of the message."""
SPRITE = (ROOT / "static" / "icons" / "sprite.svg").read_text()
SYMBOLS = set(re.findall(r'<symbol id="([^"]+)"', SPRITE))
STANDS_FOR = {
    "stage": Stage,
    "status": Status,
    "verdict": VerdictKind,
    "criterion": State,
    "measure": MeasureState,
    "health": signs.Health,
}
GROUNDS = ("page", "surface", "raised", "sunken")
TONES = sorted(
    {sign.tone for family in signs.FAMILIES.values() for sign in family.values()} | {"stable-ink", "canary-ink"}
)
NOTICES = ("info", "success", "warning", "error")
CHART_COLOURS = (charts.STABLE, charts.CANARY, charts.LIMIT, charts.MARK)


@pytest.mark.parametrize("family", signs.FAMILIES)
def test_every_member_has_one_picture_and_one_colour(family):
    assert set(signs.FAMILIES[family]) == set(STANDS_FOR[family])
    icons = [signs.sign(family, member).icon for member in STANDS_FOR[family]]
    assert len(set(icons)) == len(icons)
    assert set(icons) <= SYMBOLS


@pytest.mark.parametrize("tone", TONES)
def test_every_colour_is_a_token_of_both_themes_and_a_class(tone):
    for theme in THEMES:
        assert colour(tone, theme)
    parts = (ROOT / "static" / "css" / "parts.css").read_text()
    assert f".tone-{tone.removesuffix('-ink')} {{ --tone: var(--{tone}); }}" in parts


def test_every_picture_that_a_template_names_is_in_the_sprite():
    named = {icon for each in TEMPLATES for icon in re.findall(r'{% icon "([^"]+)" %}', each.read_text())}
    assert named - SYMBOLS == set()


# ---------------------------------------------------------------- contrast


@pytest.mark.parametrize("theme", THEMES)
def test_text_can_be_read_on_every_ground(theme):
    pairs = [(ink, ground) for ink in ("ink", "ink-soft", "link") for ground in GROUNDS]
    pairs += [("on-act", "act"), ("on-act", "act-hover"), ("on-danger", "danger"), ("on-danger", "danger-hover")]
    pairs += [("surface", "awaiting_approval"), ("surface", "failed"), ("page", "ink")]
    assert too_faint(pairs, theme, 4.5) == {}


@pytest.mark.parametrize("theme", THEMES)
def test_colours_of_states_can_be_read_on_cards_pages_and_their_own_shade(theme):
    pairs = [
        (tone, ground) for tone in (*TONES, *NOTICES, "danger") for ground in ("page", "surface", "raised", "sunken")
    ]
    assert too_faint(pairs, theme, 4.5) == {}
    shades = {
        tone: contrast(colour(tone, theme), mixed(colour(tone, theme), 0.14, colour("surface", theme)))
        for tone in (*TONES, *NOTICES, "danger")
    }
    assert {tone: round(ratio, 2) for tone, ratio in shades.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_words_can_be_read_on_shaded_notices(theme):
    shaded = [
        mixed(colour(tone, theme), 0.16, colour("surface", theme)) for tone in (*TONES, *NOTICES, "danger", "canary")
    ]
    assert min(contrast(colour("ink", theme), each) for each in shaded) >= 4.5
    ninth = [mixed(colour(tone, theme), 0.09, colour("surface", theme)) for tone in (*TONES, *NOTICES, "danger")]
    assert min(contrast(colour(ink, theme), each) for each in ninth for ink in ("ink-soft", "link")) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_lines_of_charts_edges_of_fields_and_the_focus_can_be_seen(theme):
    pairs = [
        (line, ground) for line in (*CHART_COLOURS, "line-strong", "focus") for ground in ("page", "surface", "raised")
    ]
    assert too_faint([*pairs, ("focus", "sunken")], theme, 3.0) == {}


def too_faint(pairs, theme, wanted):
    found = {pair: contrast(*(colour(name, theme) for name in pair)) for pair in pairs}
    return {pair: round(ratio, 2) for pair, ratio in found.items() if ratio < wanted}


# ---------------------------------------------------------------- where colours are written


@pytest.mark.parametrize("path", [each for each in STYLES if each.name != "tokens.css"], ids=lambda each: each.name)
def test_only_tokens_are_colours(path):
    """A colour that is written down anywhere else is wrong in one of the themes."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
    values = re.findall(r":\s*([^;{}]+);", text)
    raw = re.compile(
        r"#[0-9a-f]{3,8}\b|\b(?:rgba?|hsla?|hwb|lab|lch|oklab|oklch|color|light-dark)\(|\b(?:white|black)\b(?!-)", re.I
    )
    assert [value for value in values if raw.search(value)] == []
    used = set(re.findall(r"var\(--([\w-]+)", text))
    own = set(re.findall(r"--([\w-]+):", text))
    assert used - own - set(tokens("light")) - {"tone"} == set()


def test_every_class_of_the_style_sheets_is_used():
    words = "\n".join(
        path.read_text()
        for folder, ending in (
            ("templates", "*.html"),
            ("static/js", "*.js"),
            ("portal", "*.py"),
            ("lifecycle", "*.py"),
        )
        for path in (ROOT / folder).rglob(ending)
    )
    known = set(re.findall(r"[\w-]+", words))
    beginnings = tuple(set(re.findall(r"([a-z][\w-]*-)\{", words)) | {"tone-"})
    theirs = {"js-plotly-plot", "plotly", "main-svg", "draglayer", "crisp", "htmx-request"}
    unused = {
        (path.name, name)
        for path in STYLES
        for name in re.findall(
            r"\.([a-zA-Z][\w-]*)", re.sub(r"/\*.*?\*/|\{[^{}]*\}", "{}", path.read_text(), flags=re.S)
        )
        if name not in known | theirs and not name.startswith(beginnings)
    }
    assert unused == set()
