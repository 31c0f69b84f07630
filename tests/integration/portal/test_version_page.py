"""A version's page: metrics with their history, pictures that explain it, and the ways to and from MLflow."""

from __future__ import annotations

import math
import re
from io import BytesIO

import pytest
from django.core.cache import cache, caches
from PIL import Image

from lifecycle import explanations, imaging, lineage, mirror, pointers, tasks
from lifecycle.domain.stages import Stage
from lifecycle.models import Kind, ModelVersion, RegisteredModel, Status, Transition, VariantRole
from lifecycle.ports import Dataset, RunOrigin, TemporaryError, VersionDetails, VersionRef
from tests.support.served import production, promoted, serves
from tests.support.world import NAME

PAGE = "/models/iris/versions/{}/"
PART = {"HX-Request": "true"}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def nothing_remembered():
    caches["pictures"].clear()


def measured(world, *values, name: str = "f1_macro", **tags) -> None:
    """More versions, each with this value of a metric."""
    for value in values:
        metrics = value if isinstance(value, dict) else {name: value}
        world.registry.add_version(NAME, tags=tags, details=VersionDetails(metrics=metrics))
    mirror.full_pass(world.registry, world.now)
    mirror.fill_details(world.registry, 100, world.now)


# ---------------------------------------------------------------- metrics


def test_each_metric_is_measured_against_the_one_in_production(world, signed_in):
    measured(world, 0.90, 0.95, 0.93)
    serves(world, {5: 100}, {5: VariantRole.PRODUCTION})
    content = signed_in("priya").get(PAGE.format(6)).content.decode()
    assert "which is in Production" in content
    assert "\u22120.02 (\u22122.105 %)" in content
    assert 'class="badge tone-failed"' in content
    assert "it rose from 0.9 to 0.93; lowest 0.9 (version 4), highest 0.95 (version 5)" in content
    assert content.count('class="spark-production"') == 2


def test_without_one_in_production_it_is_the_version_before(world, signed_in):
    measured(world, 0.90, 0.95)
    content = signed_in("priya").get(PAGE.format(5)).content.decode()
    assert "the version before" in content
    assert "+0.05 (+5.556 %)" in content


def test_hostile_metrics_are_text_and_bounded(world, signed_in):
    odd = {HOSTILE: math.nan, "inf": math.inf, "huge": 1e308, "tiny": -1e308, "x" * 250: 1.0}
    measured(world, odd, {**odd, "huge": -1e308, "tiny": 1e308, **{f"m{number}": number for number in range(700)}})
    ModelVersion.objects.filter(version=5).update(metrics={**world.version(5).metrics, "words": HOSTILE * 100})
    priya = signed_in("priya")
    content = priya.get(PAGE.format(5)).content.decode()
    assert HOSTILE not in content
    assert content.count('class="cell-metric"') == 30
    assert "206 more are not shown here" in content
    for name in (HOSTILE, "huge", "inf", "words", "nothing"):
        response = priya.get("/models/iris/metrics/", {"metric": name})
        assert response.status_code == 200
        assert HOSTILE not in response.content.decode()


def test_a_metric_has_a_page_of_its_own(world, signed_in):
    measured(world, 0.90, {"auc": 1.0}, 0.95)
    priya = signed_in("priya")
    content = priya.get("/models/iris/metrics/?metric=f1_macro").content.decode()
    assert [content.index(f'versions/{number}/"') for number in (6, 5, 4)] == sorted(
        content.index(f'versions/{number}/"') for number in (6, 5, 4)
    )
    assert "it does not have this metric" in content
    assert 'id="metric-figure"' in content
    assert "<bdi>auc</bdi> through" in priya.get("/models/iris/metrics/").content.decode()


def test_a_model_without_metrics_says_how_to_log_one(world, signed_in):
    priya = signed_in("priya")
    assert b"mlflow.log_metric" in priya.get(PAGE.format(1)).content
    assert b"mlflow.log_metric" in priya.get("/models/iris/metrics/").content


# ---------------------------------------------------------------- pictures


def drawn(colour: str = "teal") -> bytes:
    file = BytesIO()
    Image.new("RGB", (30, 20), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def explained(world):
    files = {"explainability/shap_summary.png": drawn(), "explainability/trap.png": b"<html>", "loss.png": drawn()}
    world.registry.add_run_files(VersionRef(NAME, 1), files)
    world.registry.replace_files(VersionRef(NAME, 1), {"MLmodel": b"", "extra/feature_importance.gif": drawn()})
    return world


def pictures_of(browser) -> list[str]:
    gallery = browser.get(PAGE.format(1) + "pictures/", headers=PART).context["gallery"]
    return [f"{PAGE.format(1)}pictures/{each.key}" for each in gallery.pictures]


def test_the_page_asks_mlflow_for_nothing(explained, signed_in):
    before = explained.registry.calls.copy()
    content = signed_in("priya").get(PAGE.format(1)).content.decode()
    assert 'hx-get="/models/iris/versions/1/pictures/"' in content
    assert explained.registry.calls == before


def test_pictures_of_the_run_and_of_the_model_are_shown(explained, signed_in):
    content = signed_in("priya").get(PAGE.format(1) + "pictures/", headers=PART).content.decode()
    assert [each in content for each in ("SHAP summary", "Feature importance", "loss.png")] == [True, True, False]
    assert 'alt="SHAP summary"' in content


def test_a_picture_is_ours_and_mlflow_is_asked_for_it_once(explained, signed_in):
    priya = signed_in("priya")
    address = pictures_of(priya)[0]
    response = priya.get(address)
    assert (response.status_code, response["Content-Type"]) == (200, "image/webp")
    assert Image.open(BytesIO(response.content)).size == (30, 20)
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]
    assert priya.get(address, headers={"If-None-Match": response["ETag"]}).status_code == 304
    assert explained.registry.calls["content"] == 1
    assert response["Cache-Control"] == "private, max-age=3600"


def shade(browser) -> tuple[str, tuple[int, ...]]:
    """What the panel's first picture is shown from, and what it shows."""
    panel = browser.get(PAGE.format(1) + "pictures/?again", headers=PART).content.decode()
    address = re.search(r'<img src="([^"]+)"', panel)[1]
    return address, Image.open(BytesIO(browser.get(address).content)).getpixel((0, 0))


def test_a_file_that_was_logged_anew_is_another_picture(world, signed_in):
    """Under the same name, and as long as the one before."""
    white, black = (drawn(each) for each in ("white", "black"))
    longest = max(len(white), len(black))
    white, black = white.ljust(longest, b"\0"), black.ljust(longest, b"\0")
    priya = signed_in("priya")
    world.registry.add_run_files(VersionRef(NAME, 1), {"shap.png": white})
    before, shown_before = shade(priya)
    world.registry.add_run_files(VersionRef(NAME, 1), {"shap.png": black})
    after, shown_after = shade(priya)
    assert (shown_before, shown_after) == ((255, 255, 255), (0, 0, 0))
    assert before.partition("?v=")[0] == after.partition("?v=")[0]
    assert before != after


def test_looking_again_is_limited_for_all_together(explained, signed_in):
    address = PAGE.format(1) + "pictures/"
    people = [signed_in(name) for name in ("priya", "mia")]
    people[0].get(address, headers=PART)
    once = explained.registry.calls["folder"]
    for each in people * 3:
        assert b"SHAP summary" in each.get(address + "?again", headers=PART).content
    assert explained.registry.calls["folder"] == 2 * once


def test_pictures_never_look_for_what_the_panel_has_found(explained, signed_in):
    priya = signed_in("priya")
    addresses = pictures_of(priya)
    cache.delete(f"pictures-recent:{explanations._place(explained.version(1))}")
    before = explained.registry.calls["folder"]
    assert [priya.get(each).status_code for each in addresses] == [200, 415, 200]
    assert explained.registry.calls["folder"] == before


def test_one_of_many_looks_for_pictures(explained, signed_in, monkeypatch):
    """While one searches, everybody else is told so, or gets what is known."""
    priya, address, inside = signed_in("priya"), PAGE.format(1) + "pictures/", []
    folder = explained.registry.folder

    def asked(*args, **kwargs):
        if not inside:
            inside.append(None)
            inside.append(priya.get(address + "?again", headers=PART).content)
            inside.append(priya.get(address + "0" * 32))
        return folder(*args, **kwargs)

    monkeypatch.setattr(explained.registry, "folder", asked)
    assert b"SHAP summary" in priya.get(address, headers=PART).content
    assert b"being looked for" in inside[1]
    assert (inside[2].status_code, inside[2]["Retry-After"]) == (503, "3")


def test_a_picture_that_has_to_wait_too_long_is_said(explained, signed_in, monkeypatch):
    priya = signed_in("priya")
    address = pictures_of(priya)[0]
    monkeypatch.setattr(imaging, "WAIT_SECONDS", 0.01)
    with imaging._one_at_a_time():
        response = priya.get(address)
    assert (response.status_code, response["Retry-After"]) == (503, "3")
    assert priya.get(address).status_code == 200


def test_what_is_no_picture_is_never_sent(explained, signed_in):
    priya = signed_in("priya")
    response = priya.get(pictures_of(priya)[1])
    assert (response.status_code, response["Content-Type"]) == (415, "text/plain; charset=utf-8")
    assert b"<html>" not in response.content
    assert priya.get(pictures_of(priya)[1]).content == response.content
    assert explained.registry.calls["content"] == 1
    assert priya.get(PAGE.format(1) + "pictures/" + "0" * 32).status_code == 404


def test_a_silent_mlflow_is_said_and_asked_again(explained, signed_in):
    priya, address = signed_in("priya"), PAGE.format(1) + "pictures/"
    explained.registry.fail_next = TemporaryError("MLflow did not answer within 5 seconds.")
    response = priya.get(address, headers=PART)
    assert response.status_code == 200
    assert b"did not answer within 5 seconds" in response.content
    assert b"Try again" in response.content
    assert b"SHAP summary" in priya.get(address, headers=PART).content


def test_a_picture_whose_mlflow_is_gone_is_said(explained, signed_in):
    priya = signed_in("priya")
    address = pictures_of(priya)[0]
    explained.registry.down = True
    assert priya.get(address).status_code == 503


def test_without_pictures_it_says_how_to_log_one(world, signed_in):
    assert b"mlflow.log_figure" in signed_in("priya").get(PAGE.format(1) + "pictures/", headers=PART).content


def test_a_gallery_is_bounded(world, signed_in):
    files = {f"explainability/{number}.png": b"" for number in range(40)}
    world.registry.add_run_files(VersionRef(NAME, 1), {**files, **{f"f{n}/g/h/i.txt": b"" for n in range(50)}})
    content = signed_in("priya").get(PAGE.format(1) + "pictures/", headers=PART).content.decode()
    assert content.count('class="picture"') == 24
    assert "There may be more" in content
    assert world.registry.calls["folder"] <= 12


def test_pictures_that_were_logged_since_are_found_by_looking_again(world, signed_in):
    priya, address = signed_in("priya"), PAGE.format(1) + "pictures/"
    assert b"<img" not in priya.get(address, headers=PART).content
    world.registry.add_run_files(VersionRef(NAME, 1), {"shap.png": drawn()})
    assert b"<img" not in priya.get(address, headers=PART).content
    assert b"<img" in priya.get(address + "?again", headers=PART).content


@pytest.mark.parametrize("part", ["pictures", "lineage"])
def test_a_panel_opened_by_hand_leads_to_the_page(world, signed_in, part):
    assert signed_in("priya").get(f"{PAGE.format(1)}{part}/")["Location"].startswith(PAGE.format(1) + "#")


# ---------------------------------------------------------------- lineage


def test_who_replaced_whom(world):
    promoted(world, 1, 2)
    came = world.model.transitions.filter(version__version=2).get()
    came.stable = world.version(1)
    came.save()
    first, second = (lineage.lineage_of(world.version(number)).turn for number in (1, 2))
    assert (first.replaced, first.replaced_by, first.until) == (None, world.version(2), came.finished_at)
    assert (second.replaced, second.left) == (world.version(1), None)
    assert lineage.lineage_of(world.version(3)).turn is None


def test_a_version_that_was_rolled_back_says_to_which(world):
    promoted(world, 1, 2)
    came = world.model.transitions.get(version__version=2)
    known = {"policy": came.policy, "due_at": world.now, "requested_at": world.now, "finished_at": world.now}
    Transition.objects.create(
        model=world.model,
        version=world.version(2),
        previous=world.version(1),
        kind=Kind.ROLLBACK,
        status=Status.FINISHED,
        from_stage=Stage.PRODUCTION,
        to_stage=Stage.ARCHIVED,
        **known,
    )
    turn = lineage.lineage_of(world.version(2)).turn
    assert (turn.rolled_back_to, turn.replaced_by, turn.until) == (world.version(1), None, world.now)
    back = lineage.lineage_of(world.version(1)).turn
    assert (back.replaced, back.replaced_by, back.until) == (world.version(2), None, None)


def test_the_panel_shows_what_the_run_was_given(world, signed_in):
    run_id = world.version(1).run_id
    world.registry.origins[run_id] = RunOrigin("f" * 32, (Dataset(f"orders {HOSTILE}", "abc", "delta", "training"),))
    ModelVersion.objects.filter(version=2).update(run_id=run_id)
    content = signed_in("aron").get(PAGE.format(1) + "lineage/", headers=PART).content.decode()
    assert HOSTILE not in content
    assert [each in content for each in ("orders &lt;script", "training", "f" * 32, "versions/2/")] == [True] * 4


def test_what_is_known_here_is_shown_while_mlflow_is_silent(world, signed_in):
    production(world)
    world.registry.down = True
    content = signed_in("aron").get(PAGE.format(2) + "lineage/", headers=PART).content.decode()
    assert "it entered" in content
    assert "cannot be read just now" in content


def test_of_two_models_with_one_name_in_mlflow_the_one_that_is_there_is_led_to(world, signed_in):
    for slug, gone in (("odd-1", world.now), ("odd-2", None), ("odd-3", world.now)):
        model = RegisteredModel.objects.create(name="odd\ufffd", slug=slug, exact_name=False, removed_at=gone)
        ModelVersion.objects.create(model=model, version=1, created_at=world.now, stage_since=world.now)
    found = signed_in("aron").get("/from-mlflow/models/odd\ufffd/1/")
    assert found["Location"] == "/models/odd-2/versions/1/"


def test_the_ways_here_from_mlflow(world, signed_in):
    aron, run_id = signed_in("aron"), world.version(1).run_id
    assert aron.get("/from-mlflow/models/iris/1/")["Location"] == PAGE.format(1)
    assert aron.get(f"/from-mlflow/runs/{run_id}/")["Location"] == PAGE.format(1)
    ModelVersion.objects.filter(version=2).update(run_id=run_id)
    assert b"2 versions were made by one run" in aron.get(f"/from-mlflow/runs/{run_id}/").content
    for address in ("/from-mlflow/models/iris/99/", "/from-mlflow/models/nothing/1/", "/from-mlflow/runs/none/"):
        response = aron.get(address)
        assert response.status_code == 404
        assert b"MLflow" in response.content


# ---------------------------------------------------------------- the tag in MLflow


@pytest.fixture
def public(settings):
    settings.PUBLIC_URL, settings.PUBLIC_URL_IS_SET = "https://gate.example.com", True


def test_mlflow_is_told_where_the_version_is_and_nobody_minds(world, public):
    asked = world.approved(1, Stage.STAGING)
    tasks.point_back(asked.version_id)
    mirror.refresh_version(world.registry, VersionRef(NAME, 1), world.now)
    assert world.version(1).tags[pointers.TAG] == "https://gate.example.com/models/iris/versions/1/"
    tasks.point_back(asked.version_id)
    assert world.registry.calls["set_tags"] == 1
    assert all(each.stands for each in asked.approvals.all())
    world.drive(asked)
    assert world.version(1).domain_stage == Stage.STAGING
    assert not asked.approvals.exclude(voided_at=None).exists()


def test_an_mlflow_that_does_not_take_the_tag_hinders_nothing(world, public):
    asked = world.approved(1, Stage.STAGING)
    world.registry.fail_next = TemporaryError("MLflow is gone.")
    tasks.point_back(asked.version_id)
    world.drive(asked)
    assert pointers.TAG not in world.version(1).tags


def test_without_a_public_address_mlflow_is_told_nothing(world):
    tasks.point_back(world.version(1).pk)
    tasks.point_back(10**9)
    assert world.registry.calls["set_tags"] == 0
