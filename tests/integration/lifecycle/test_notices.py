"""From the record to notices: who is told what, once."""

from datetime import timedelta

import pytest
from django.db.models import F

from lifecycle import notice_delivery, notices, operations
from lifecycle.audit import record, recording
from lifecycle.domain import compare
from lifecycle.domain.compare import Measure, MeasureState, Verdict, VerdictKind
from lifecycle.domain.permissions import STAGEGATE, Role
from lifecycle.domain.stages import Stage
from lifecycle.models import (
    AuditEntry,
    FreezeWindow,
    Kind,
    ModelVersion,
    Notice,
    NoticeCursor,
    NoticeState,
    Policy,
    RegisteredModel,
    Status,
    Strategy,
    Team,
    Transition,
    Trial,
)
from lifecycle.notice_texts import message_of
from portal.accounts.models import Identity, RoleAssignment, User
from tests.support.notices import channel, with_addresses
from tests.support.served import production, staged

SECRET = "json://bot:hunter2@127.0.0.1:9/very-secret-path"


@pytest.fixture
def told(world, settings):
    """Collects, and gives who was told what: "waiting mia", or the channel in brackets."""
    settings.MAIL_URL = "mailto://127.0.0.1:9?from=stagegate@example.org"
    with_addresses()
    notices.collect(now=world.now)

    def collect():
        notices.collect(now=world.now)
        rows = Notice.objects.select_related("person", "channel").order_by("pk")
        return [f"{row.event} {row.person.username if row.person else f'[{row.channel.name}]'}" for row in rows]

    return collect


def notice(event, who):
    return Notice.objects.get(event=event, person__username=who)


def test_what_was_recorded_before_the_first_look_is_not_told(world, settings):
    settings.MAIL_URL = "mailto://127.0.0.1:9?from=stagegate@example.org"
    with_addresses()
    world.request(1, Stage.STAGING)
    notices.collect(now=world.now)
    assert not Notice.objects.exists()
    assert NoticeCursor.objects.get().seq == AuditEntry.objects.count()


def test_a_request_is_told_to_those_whose_yes_it_takes(world, told):
    Identity.objects.create(user=User.objects.get(username="emil"), value="email:same@example.org")
    other = User.objects.create_user("emil2", password="x", email="emil2@example.org")
    Identity.objects.create(user=other, value="email:same@example.org")
    RoleAssignment.objects.create(user=other, role=Role.ML_ENGINEER)
    shared = User.objects.create_user("team", password="x", email="team@example.org", is_shared=True)
    RoleAssignment.objects.create(user=shared, role=Role.ML_ENGINEER)
    world.request(1, Stage.STAGING)
    assert told() == ["waiting mia"]
    message = message_of(notice("waiting", "mia"))
    assert message.subject == "Move iris 1.0.0 to Staging: waits for approval"
    assert "http://127.0.0.1:8000/transitions/" in message.text
    assert "because your yes is one of those that it takes" in message.text
    assert "/account/notices/" in message.text


def test_a_rollout_is_told_at_its_ends_alone(world, told):
    staged(world)
    channel(SECRET, at=world.now)
    row = world.request(2, Stage.PRODUCTION)
    assert sorted(told()) == ["waiting [room]", "waiting mia", "waiting priya"]
    world.approve(row, "mia")
    assert len(told()) == 3
    assert world.drive(world.approve(row, "priya")).status == Status.FINISHED
    assert sorted(told()[3:]) == [
        *("approved [room]", "approved emil"),
        *("finished [room]", "finished emil", "finished mia", "finished priya"),
    ]


def test_reading_twice_or_from_an_older_place_tells_once(world, told):
    world.request(1, Stage.STAGING)
    first = told()
    assert told() == first
    NoticeCursor.objects.update(seq=0)
    assert [each for each in told() if "waiting" in each] == first


def test_a_crash_between_the_notices_and_the_place_leaves_neither(world, told, monkeypatch):
    world.request(1, Stage.STAGING)
    seq = NoticeCursor.objects.get().seq
    with monkeypatch.context() as broken:
        broken.setattr(notices, "tell", lambda news, now: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            told()
    assert (NoticeCursor.objects.get().seq, Notice.objects.count()) == (seq, 0)
    assert told() == ["waiting mia"]


def test_two_readers_at_once_tell_once(world, told, monkeypatch):
    world.request(1, Stage.STAGING)
    news_of, beaten = notices._news_of, []

    def slow(entry, now):
        if not beaten:
            beaten.append(True)
            notices.collect(now=world.now)
        return news_of(entry, now)

    monkeypatch.setattr(notices, "_news_of", slow)
    assert told() == ["waiting mia"]


def test_nothing_is_told_of_what_was_refused_or_is_long_ago(world, told):
    with pytest.raises(operations.RefusedError):
        world.request(1, Stage.PRODUCTION)
    world.request(1, Stage.STAGING)
    world.pass_time(days=1, seconds=1)
    assert told() == []


def test_who_acted_is_not_told_of_it(world, told):
    row = world.request(1, Stage.STAGING)
    told()
    operations.reject(transition=row, reason="Too slow.", actor=world.people["mia"], now=world.now)
    assert told() == ["waiting mia", "rejected emil"]
    assert "“Too slow.”" in message_of(notice("rejected", "emil")).text


def test_a_yes_that_was_taken_back_is_told_and_asked_for_again(world, told):
    staged(world)
    row = world.approve(world.request(2, Stage.PRODUCTION), "mia")
    told()
    Notice.objects.all().delete()
    operations.take_back(transition=row, reason="I misread it.", actor=world.people["mia"], now=world.now)
    assert sorted(told()) == ["voided emil", "voided priya"]
    assert "It waits again for a yes from: product owner, ML engineer" in message_of(notice("voided", "priya")).text


def test_a_bypass_is_told_to_those_who_can_review_it(world, told):
    row = world.request(1, Stage.STAGING)
    operations.bypass(transition=row, reason="Users get errors.", actor=world.people["ada"], now=world.now)
    assert sorted(told()) == ["bypassed aron", "bypassed emil", "bypassed priya"]


def test_a_rollback_is_told_with_its_facts_once(world, told):
    staged(world)
    row = world.approved(2, Stage.PRODUCTION)
    world.drive(row, until=lambda row: row.step_since is not None and row.step == 1)
    told()
    Notice.objects.all().delete()
    world.judged(row, "roll_back", why="Errors went up.", requests=4321)
    breached = Measure(
        "errors", "Errors", MeasureState.BREACHED, 18.8, 2.02, 54.1, 2.0, "points", "roll_back", "Worse."
    )
    verdict = compare.dump(Verdict(VerdictKind.ROLL_BACK, "Errors went up.", (breached,)))
    Trial.objects.filter(transition=row, until=None).update(verdict=verdict)
    world.verdict = None
    world.drive(row)
    assert row.status == Status.ROLLED_BACK
    assert sorted(told()) == ["rolled_back emil", "rolled_back mia", "rolled_back priya"]
    message = message_of(notice("rolled_back", "priya"))
    assert message.subject == "iris 1.1.0: rolled back"
    for fact in (
        "requests are with 1.0.0 again",
        "after it was decided",
        "Errors: 18.8 points, surely between 2.02 to 54.1 points; the limit is at most 2 points",
        "It had answered 4,321 requests at 25 % of the traffic.",
    ):
        assert fact in message.text
    assert "<strong>18.8 points</strong>" in message.html


def test_a_rollback_of_what_serves_is_told_to_those_who_brought_it_in(world, told):
    production(world)
    Transition.objects.filter(version=world.version(2)).update(requested_by=world.people["emil"].user_id)
    world.drive(world.roll_back(by="ada"))
    assert sorted(told()) == ["rolled_back ada", "rolled_back emil"]
    message = message_of(notice("rolled_back", "emil"))
    assert message.subject == "iris 1.1.0: rolled back in an emergency"
    assert "because you had a part in bringing this version into use" in message.text


def test_a_rollout_that_waits_for_a_person_is_told_once_a_step(world, told):
    staged(world)
    row = world.approved(2, Stage.PRODUCTION)
    world.drive(row, until=lambda row: row.step_since is not None)
    told()
    Notice.objects.all().delete()
    Transition.objects.filter(pk=row.pk).update(asks_person=True, waiting_for="Not sure about the errors.")
    assert sorted(told()) == ["held emil", "held mia", "held priya"]
    assert len(told()) == 3
    assert "Not sure about the errors." in message_of(notice("held", "mia")).text
    Transition.objects.filter(pk=row.pk).update(asks_person=False)
    row = operations.pause(transition=row, step=0, reason="Lunch.", actor=world.people["mia"], now=world.now)
    told()
    assert "mia has paused this: “Lunch.”" in message_of(Notice.objects.filter(event="held").latest("pk")).text


def test_a_freeze_that_holds_an_approved_change_is_told_once(world, told):
    window = {"zone": "UTC", "starts": "2026-03-01T00:00", "ends": "2026-03-02T06:30"}
    FreezeWindow.objects.create(name="Quarter", reason="Figures.", created_at=world.now, **window)
    world.approved(1, Stage.STAGING)
    assert sorted(told()) == ["approved emil", "held emil", "held mia"]
    assert len(told()) == 3
    assert "It goes on by itself at 2026-03-02 06:30 UTC" in message_of(notice("held", "emil")).text


def test_a_breach_that_nobody_can_answer_by_itself_is_told_to_the_owners(world, told):
    reason = "Errors went up. Nobody served before: somebody has to decide."
    with recording():
        record("limit_breached", actor=STAGEGATE, now=world.now, version=world.version(1), reason=reason)
    assert sorted(told()) == ["held emil", "held mia", "held priya"]
    assert "Stagegate cannot act by itself" in message_of(notice("held", "mia")).text


def test_owners_are_told_once_a_week_what_will_be_deleted(world, told):
    since = world.now - timedelta(days=85)
    ModelVersion.objects.filter(version=1).update(stage="Archived", stage_since=since)
    NoticeCursor.objects.update(retention_told_at=world.now - timedelta(days=7))
    channel(SECRET, at=world.now)
    assert sorted(told()) == [f"retention_due {who}" for who in ("[room]", "emil", "mia", "priya")]
    assert len(told()) == 4
    message = message_of(notice("retention_due", "priya"))
    assert message.subject == "1 version will be deleted by 2026-03-15"
    assert "- iris 1.0.0, 2026-03-06" in message.text
    world.pass_time(days=7)
    assert len(told()) == 8


def test_nobody_is_told_who_does_not_want_it_or_cannot_be_reached(world, told, settings):
    operations.choose_notices(wanted=["finished"], reason="Too many.", actor=world.people["mia"], now=world.now)
    User.objects.filter(username="priya").update(email="")
    world.request(1, Stage.STAGING)
    assert told() == []
    settings.MAIL_URL = ""
    with recording():
        record("limit_breached", actor=STAGEGATE, now=world.now, version=world.version(1), reason="Errors went up.")
    assert told() == []


def test_a_teams_channel_hears_of_its_models_and_what_it_chose_alone(world, told):
    ours, others = (Team.objects.create(name=name, slug=name) for name in ("ours", "others"))
    RegisteredModel.objects.update(team=ours)
    channel(SECRET, name="ours", team=ours, at=world.now)
    channel(SECRET, name="others", team=others, at=world.now)
    channel(SECRET, name="finished", events=["finished"], at=world.now)
    User.objects.update(email="")
    world.drive(world.approved(1, Stage.STAGING))
    assert told() == ["approved [ours]", "finished [finished]", "finished [ours]"]


def test_what_has_been_decided_meanwhile_is_not_sent(world, told):
    row = world.request(1, Stage.STAGING)
    told()
    world.approve(row, "mia")
    assert notice_delivery.deliver(clock=lambda: world.now) == 0
    assert notice("waiting", "mia").state == NoticeState.DROPPED
    assert notice("waiting", "mia").last_error == "It has been decided meanwhile."


def test_what_the_registry_says_is_inert_in_every_text(world, told):
    name = "<img src=x onerror=alert(1)> @everyone \u202etxt.exe https://evil.example"
    RegisteredModel.objects.update(name=name)
    channel(SECRET, at=world.now)
    request = Transition.objects.create(
        model=RegisteredModel.objects.get(),
        version=ModelVersion.objects.get(version=1),
        kind=Kind.PROMOTION,
        from_stage="Development",
        to_stage="Staging",
        strategy=Strategy.DIRECT,
        status=Status.AWAITING_APPROVAL,
        reason="\u202eBecause\r\nBcc: all",
        policy=Policy.objects.latest("number"),
        requested_by_id=world.people["emil"].user_id,
        requested_by_name="emil",
        requested_at=world.now,
        due_at=world.now,
    )
    with recording():
        record("transition_requested", actor=world.people["emil"], now=world.now, transition=request, reason="Because")
    told()
    mail, chat = message_of(notice("waiting", "mia")), message_of(Notice.objects.get(channel__name="room"))
    assert "<img" not in mail.html
    assert "@everyone" not in chat.text
    for text in (mail.subject, mail.text, mail.html, chat.text):
        assert "\u202e" not in text
        assert "https://evil" not in text
    assert "\n" not in mail.subject


def test_old_notices_are_forgotten(world, told):
    world.request(1, Stage.STAGING)
    told()
    Notice.objects.update(created_at=F("created_at") - timedelta(days=91))
    world.pass_time(days=7)
    assert told() == []
