"""The content security policy lets only scripts run that carry the page's nonce, and no script or style inline."""

import re
from pathlib import Path

from django.conf import settings

TEMPLATES = Path(settings.BASE_DIR) / "templates"
TAGS = re.compile(r"{%.*?%}|{#.*?#}", re.DOTALL)
SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL)
INLINE = re.compile(r"\son[a-z]+=|\sstyle=|<style|javascript:")


def offences(text):
    text = TAGS.sub("", text)
    for attributes, content in SCRIPT.findall(text):
        if 'nonce="{{ csp_nonce }}"' not in attributes:
            yield f"a script without the nonce: {attributes}"
        if content.strip() and 'type="application/json"' not in attributes:
            yield f"a script inline: {content[:40]}"
    yield from (f"inline: {found}" for found in INLINE.findall(text))


def test_no_template_has_a_script_or_style_that_would_not_work():
    found = {path.name: list(offences(path.read_text())) for path in sorted(TEMPLATES.rglob("*.html"))}
    assert {name: each for name, each in found.items() if each} == {}


def test_what_would_not_work_is_found():
    text = '<script src="/a.js"></script><script nonce="{{ csp_nonce }}">go()</script><p onclick="x" style="y">'
    assert len(list(offences(text))) == 4
