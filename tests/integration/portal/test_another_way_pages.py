"""A rollback whose version does not come up, on the pages: what it waits for, and the buttons for another way."""

import pytest

from lifecycle.models import Effect, Status, Transition, VariantRole
from lifecycle.ports import VersionRef
from tests.support.served import promoted, serves

ASK = "/models/iris/ask/roll-back/"
REASON = {"reason": "It does not start."}


@pytest.fixture
def stuck(world):
    """1.2.0 goes back to 1.1.0, whose server does not start; 1.0.0 is warm."""
    promoted(world, 1, 2, 3)
    serves(world, {1: 0, 3: 100}, {1: VariantRole.WARM, 3: VariantRole.PRODUCTION})
    world.serving.broken.add(VersionRef("iris", 2))
    world.stuck = world.tick(world.roll_back(), times=10)
    return world


def shown(browser, address):
    response = browser.get(address)
    assert response.status_code == 200, address
    return response.content.decode()


def page_of(world):
    return f"/transitions/{world.stuck.pk}/"


def post(browser, world, follow=False, **body):
    return browser.post(f"{page_of(world)}another-way/", {**REASON, **body}, follow=follow)


def test_its_page_says_what_it_waits_for_and_offers_the_other_ways(stuck, signed_in):
    page = shown(signed_in("emil"), page_of(stuck))
    assert "<bdi>1.1.0</bdi> does not come up" in page
    assert "the model can&#x27;t be loaded" in page
    assert f'action="{page_of(stuck)}another-way/"' in page
    assert "100 % of iris goes to 1.0.0 at once" in page
    assert "The rollback to 1.1.0 is given up. 1.2.0 is archived, as it was to be." in page
    assert "(503)" in page


@pytest.mark.parametrize("address", ["/models/iris/", "/models/iris/versions/3/", ASK])
def test_it_is_offered_wherever_a_rollback_is_said_to_be_under_way(stuck, signed_in, address):
    page = shown(signed_in("emil"), address)
    assert "A rollback to 1.1.0 is under way." in page
    assert "does not start" in page
    assert page.count(f'action="{page_of(stuck)}another-way/"') == 2
    assert f'href="{page_of(stuck)}"' in page


def test_the_question_of_a_list_is_a_dialog_with_both_ways(stuck, signed_in):
    part = signed_in("emil").get(ASK, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith("<dialog")
    assert part.count("another-way/") == 2


def test_who_may_not_roll_back_sees_what_it_waits_for_and_no_button(stuck, signed_in):
    page = shown(signed_in("aron"), page_of(stuck))
    assert "does not come up" in page
    assert "Somebody who may roll back can go back to another version" in page
    for address in (page_of(stuck), "/models/iris/", "/models/iris/versions/3/", ASK):
        assert "another-way/" not in shown(signed_in("aron"), address), address


def test_the_version_that_was_chosen_comes_back(stuck, signed_in):
    emil = signed_in("emil")
    response = post(emil, stuck, to_version=1)
    second = Transition.objects.order_by("-pk")[0]
    assert response["Location"] == f"/transitions/{second.pk}/"
    stuck.drive(second)
    assert (second.status, stuck.weights()) == (Status.FINISHED, {1: 100})
    old = shown(emil, page_of(stuck))
    assert "<bdi>emil</bdi></a> gave it up" in old
    assert f'href="/transitions/{second.pk}/"' in old
    assert "Back to <bdi>1.0.0</bdi> instead" in old
    assert "on its way back" not in old


def test_to_stop_takes_a_word_more_than_a_reason(stuck, signed_in):
    emil = signed_in("emil")
    assert b"Nothing was stopped" in post(emil, stuck, follow=True, stop="yes").content
    stuck.stuck.refresh_from_db()
    assert stuck.stuck.status == Status.ROLLING_BACK
    post(emil, stuck, stop="yes", confirmed="yes")
    stuck.drive(Transition.objects.order_by("-pk")[0])
    assert stuck.weights() == {}
    assert "The end of serving instead" in shown(emil, page_of(stuck))


@pytest.mark.parametrize(
    ("second", "words"), [("emil", "You have decided already"), ("mia", "emil has decided already")]
)
def test_a_second_decision_is_shown_the_first_one(stuck, signed_in, second, words):
    post(signed_in("emil"), stuck, to_version=1)
    chosen = Transition.objects.order_by("-pk")[0]
    response = post(signed_in(second), stuck, follow=True, stop="yes", confirmed="yes")
    assert response.redirect_chain[-1][0] == f"/transitions/{chosen.pk}/"
    assert f"{words} to go back to 1.0.0" in response.content.decode()
    assert Transition.objects.order_by("-pk")[0].pk == chosen.pk


def test_without_another_version_it_can_only_be_stopped(world, signed_in):
    promoted(world, 2, 3)
    serves(world, {3: 100}, {3: VariantRole.PRODUCTION})
    world.serving.broken.add(VersionRef("iris", 2))
    world.stuck = world.tick(world.roll_back(), times=10)
    page = shown(signed_in("emil"), page_of(world))
    assert "No other version has served Production." in page
    assert "Stop serving" in page
    assert 'id="dialog-another"' not in page


def test_what_a_server_wrote_stays_text(stuck, signed_in):
    Effect.objects.filter(kind="server").update(last_error="<img src=x onerror=alert(1)>")
    for address in (page_of(stuck), "/models/iris/", ASK):
        page = shown(signed_in("emil"), address)
        assert "&lt;img src=x" in page, address
        assert "<img src=x" not in page, address
