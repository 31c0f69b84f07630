"""Whatever a real MLflow holds as text is nothing but text on every page: no markup, no script, no change of direction,
and no page that becomes wider than a phone."""

from urllib.parse import quote

import pytest

from lifecycle import adapters, mirror, operations
from lifecycle.adapters.mlflow_registry import MlflowRegistry
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Evidence, ModelVersion, RegisteredModel
from tests.integration.registry.server import MlflowWorld

pytestmark = [pytest.mark.browser, pytest.mark.integration]

MARKUP = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script><svg onload=window.hacked=1>'
BREAKS_OUT = "\"'><a href=javascript:window.hacked=1 onfocus=window.hacked=1 autofocus>x</a>"
TURNS = "\u202egnitirw\u2066\u2067\u200f"
FAMILY = "\U0001f469\u200d\U0001f467"
TAG = MARKUP.partition("</script>")[0]
NAME = f"{TAG}{{{{7*7}}}} =1+1 {TURNS} {FAMILY}"
"""MLflow takes everything in a model's name but / and :."""
LONG = "W" * 10_000
TEXT = f"{BREAKS_OUT}{MARKUP}{TURNS}{{{{7*7}}}}{{% now %}}"
FORMULA = '=HYPERLINK("http://127.0.0.1/x","x")'
TAGS = {
    "markup": TEXT,
    "formula": FORMULA,
    "link": "javascript:window.hacked=1",
    "nothing": "a\x00b",
    "long": LONG,
    "turned": TURNS * 20,
}
COLUMN = f"{MARKUP}{TURNS}"

FOUND_WRONG = """() => {
    const turns = /[\\u202a-\\u202e\\u2066-\\u2069\\u200e\\u200f]/;
    const wrong = [];
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = words.nextNode(); node; node = words.nextNode()) {
        const within = node.parentElement;
        if (!turns.test(node.data) || within.closest("bdi, option, textarea, title, .visually-hidden")) continue;
        const place = `<${within.tagName} class="${within.className}">`;
        wrong.push(`turns what is around it: ${place} ${node.data.slice(0, 60)}`);
    }
    const foreign = "img, iframe, object, embed, [onerror], [onload], [onfocus], [href^='javascript' i], "
        + "script:not([src]), style, main script, main svg[onload], [style]";
    for (const each of document.querySelectorAll(foreign)) {
        wrong.push(`made from a text: ${each.outerHTML.slice(0, 120)}`);
    }
    if (window.hacked) wrong.push("a script from a text has run");
    const root = document.scrollingElement;
    if (root.scrollWidth > root.clientWidth) {
        const wide = [...document.querySelectorAll("main *")].filter((each) =>
            each.getBoundingClientRect().right > root.clientWidth + 1 && !each.closest(".table-scroll, pre"));
        const last = wide.filter((each) => !wide.some((other) => other !== each && each.contains(other)));
        wrong.push(`${root.scrollWidth - root.clientWidth} px too wide: `
            + last.slice(0, 4).map((each) => `<${each.tagName} class="${each.getAttribute("class")}">`).join(", "));
    }
    return wrong;
}"""


@pytest.fixture
def hostile(world, mlflow, monkeypatch, transactional_db):
    """One version of such a model in Production, the next one asked for; reasons are as bad as everything else."""
    registry = MlflowRegistry(mlflow.uri, timeout_seconds=30)
    monkeypatch.setattr(adapters, "registry", lambda: registry)
    there = MlflowWorld(mlflow)
    there.create_model(NAME, description=TEXT + LONG, tags=TAGS)
    there.create_model(f"{TAG}\x00{TURNS}")
    signature = {"inputs": [{"name": COLUMN, "type": "double"}], "outputs": [{"type": "string"}], "params": None}
    for number in (1, 2):
        tags = {"semantic_version": f"{number}.0.0{TEXT}", "environment": "production", **TAGS}
        params = {"alpha": TEXT + "y" * 4000, "beta": f"{number}{FORMULA}"}
        ref = there.create_version(
            NAME, tags=tags, metrics={"f1": 0.9, "rmse": number}, params=params, signature=signature
        )
        mirror.refresh_model(registry, NAME, world.now)
        mirror.refresh_version(registry, ref, world.now)
    mirror.refresh_model(registry, f"{TAG}\x00{TURNS}", world.now)
    mirror.fill_details(registry, 10, world.now)
    version = {row.version: row for row in ModelVersion.objects.filter(model__name=NAME)}

    def asked(number, stage, *yes):
        version[number].refresh_from_db()
        row = operations.request_transition(
            version=version[number], to_stage=stage, reason=TEXT, actor=world.people["emil"], now=world.now
        )
        return world.approve(row, *yes)

    world.drive(asked(1, Stage.STAGING, "mia"))
    world.drive(asked(1, Stage.PRODUCTION, "mia", "priya"))
    world.drive(asked(2, Stage.STAGING, "mia"))
    world.evidence = Evidence.objects.create(
        version=version[2],
        criterion="code_review",
        passed=True,
        origin="ci",
        detail=TEXT + LONG,
        url="https://x.example/" + LONG[:900],
        recorded_by=NAME[:200],
        recorded_at=world.now,
    )
    world.asked = asked(2, Stage.PRODUCTION, "priya")
    yield RegisteredModel.objects.get(name=NAME)
    for name in (NAME, f"{TAG}\x00{TURNS}"):
        there.delete_model(name)
    there.session.close()
    registry.close()


def addresses(world, model):
    """Every page that shows what MLflow, or a person, has written about this model."""
    slug, number = f"/models/{model.slug}/", f"/models/{model.slug}/versions/2/"
    last = AuditEntry.objects.latest("seq").seq
    pages = ["/", "/inbox/", "/models/", "/versions/", "/record/", f"/record/{last}/", "/policies/", "/retention/"]
    pages += [slug, f"{slug}live/", number, f"{slug}versions/1/", f"{number}dossier/"]
    pages += [f"{number}evidence/{world.evidence.pk}/", f"/transitions/{world.asked.pk}/"]
    pages += [f"{slug}compare/{of}" for of in ("?a=1&b=2", "params/?a=1&b=2&name=alpha", "tags/?a=1&b=2&name=long")]
    asked = {"/models/?search=": NAME[:50], "/record/?model=": NAME, "/versions/?filter=": TEXT}
    pages += [address + quote(text) for address, text in asked.items()]
    return [*pages, "/versions/?filter=" + quote("tags.environment = 'production'")]


def test_a_hostile_text_is_a_text_on_every_page(world, hostile, at_portal, complaints):
    complaints.expected.add(422)
    kept = hostile.versions.get(version=2)
    assert (kept.signature["inputs"][0]["name"], kept.tags["nothing"]) == (COLUMN, "a\ufffdb")
    assert kept.tags["markup"] == kept.params["alpha"][: len(TEXT)] == TEXT
    page = at_portal("mia", viewport={"width": 390, "height": 844})
    asked_by_text = []
    page.on("dialog", lambda dialog: (asked_by_text.append(dialog.message), dialog.dismiss()))
    wrong = {}
    for address in addresses(world, hostile):
        page.goto(address)
        found = page.evaluate(FOUND_WRONG)
        if found:
            wrong[address] = found
    assert not wrong, "\n".join(f"{address}: {each}" for address, found in wrong.items() for each in found)
    assert asked_by_text == []
    page.goto(f"/models/{hostile.slug}/")
    assert page.get_by_role("heading", level=1).inner_text().startswith("<img src=x onerror=")
    assert "{{7*7}}" in page.content()
    assert page.request.get(f"/models/{hostile.slug}/versions/2/dossier.pdf").body().startswith(b"%PDF-")
