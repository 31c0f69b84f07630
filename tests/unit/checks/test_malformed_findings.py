"""What counts as refused and as answered, and what is shown of what was not."""

from __future__ import annotations

import json

import pytest

from lifecycle.adapters.scoring import Reply
from lifecycle.checks.malformed import Case
from lifecycle.checks.malformed_input import SHOWN, VALID, Findings, Sent, is_answered, is_enough, is_refused, sentence
from lifecycle.domain.policy import ServiceLevels

REFUSED = Reply(400, '{"error_code": "BAD_REQUEST", "message": "column \'a\', row 0: expected a number"}')
ANSWERED = Reply(200, '{"predictions": [1]}')
SILENT = Reply(None, problem="the connection was refused or closed before an answer came")


def sent(reply: Reply, name: str = "wrong type", body: bytes = b"{}") -> Sent:
    return Sent(name, Case(body), reply)


def found(refused: int, missed: int, answered: int = 50, failed: int = 0, **more) -> Findings:
    malformed = [sent(REFUSED)] * refused + [sent(ANSWERED)] * missed
    valid = [sent(ANSWERED, VALID)] * answered + [sent(Reply(500, "{}"), VALID)] * failed
    return Findings(malformed, valid, **more)


@pytest.mark.parametrize(
    ("reply", "refused"),
    [
        (REFUSED, True),
        (Reply(422, '{"detail": [{"loc": ["body"], "msg": "field required"}]}'), True),
        (Reply(415, '{"error": "not JSON"}'), True),
        (Reply(499, '{"message": "x"}'), True),
        (Reply(400, ""), False),
        (Reply(400, "Bad Request"), False),
        (Reply(400, "[]"), False),
        (Reply(400, '{"message": ""}'), False),
        (Reply(400, '{"message": " "}'), False),
        (Reply(400, '{"message": 3}'), False),
        (Reply(400, '{"error_code": "BAD_REQUEST"}'), False),
        (Reply(200, '{"message": "no"}'), False),
        (Reply(302, '{"message": "no"}'), False),
        (Reply(399, '{"message": "no"}'), False),
        (Reply(500, '{"message": "no"}'), False),
        (SILENT, False),
    ],
)
def test_a_refusal_is_a_4xx_with_a_reason(reply, refused):
    assert is_refused(reply) is refused


@pytest.mark.parametrize(
    ("reply", "answered"),
    [
        (ANSWERED, True),
        (Reply(200, '{"predictions": [NaN]}'), True),
        (Reply(200, '{"predictions": null}'), False),
        (Reply(200, "{}"), False),
        (Reply(200, "[" * 100_000), False),
        (Reply(201, '{"predictions": [1]}'), False),
        (Reply(500, '{"predictions": [1]}'), False),
        (SILENT, False),
    ],
)
def test_an_answer_has_predictions(reply, answered):
    assert is_answered(reply) is answered


@pytest.mark.parametrize(
    ("findings", "levels", "enough"),
    [
        (found(200, 0), ServiceLevels(), True),
        (found(199, 1), ServiceLevels(), False),
        (found(99, 1), ServiceLevels(malformed_rejected=99.0), True),
        (found(98, 2), ServiceLevels(malformed_rejected=99.0), False),
        (found(200, 0, 49, 1), ServiceLevels(), False),
        (found(200, 0, 999, 1), ServiceLevels(), False),
        (found(200, 0, 1000, 1), ServiceLevels(), True),
        (found(200, 0, 0, 0), ServiceLevels(), False),
        (found(200, 0, stopped="it took too long"), ServiceLevels(), False),
        (found(0, 0), ServiceLevels(malformed_rejected=0.0), True),
    ],
)
def test_what_is_enough(findings, levels, enough):
    assert is_enough(findings, levels) is enough


def test_counts_by_class():
    findings = Findings([sent(REFUSED), sent(ANSWERED), sent(REFUSED, "not JSON"), sent(SILENT, "no rows")])
    assert findings.by_class() == {
        "wrong type": {"sent": 2, "rejected": 1},
        "not JSON": {"sent": 1, "rejected": 1},
        "no rows": {"sent": 1, "rejected": 0},
    }
    assert sentence(findings) == (
        "2 of 4 malformed requests refused with a reason, not those with wrong type (1) and no rows (1); "
        "0 of 0 valid rows answered."
    )


def test_the_smallest_of_each_class_is_shown_first():
    findings = Findings(
        malformed=[sent(ANSWERED, body=b"x" * size) for size in (30, 20, 40)] + [sent(SILENT, "no rows", b"y" * 50)],
        valid=[sent(ANSWERED, VALID, b"fine"), sent(Reply(500, "{}"), VALID, b"z" * 35)],
        smaller=[sent(ANSWERED, body=b"x" * 5)],
    )
    assert [(each["class"], len(each["body"])) for each in findings.failing()] == [
        ("wrong type", 5),
        (VALID, 35),
        ("no rows", 50),
        ("wrong type", 20),
        ("wrong type", 30),
        ("wrong type", 40),
    ]
    assert [each["status"] for each in findings.failing()][:3] == [200, 500, None]
    assert findings.failing()[2]["answer"] == SILENT.problem


def test_what_is_kept_is_bounded_and_fit_for_a_database():
    long = Reply(200, "ä" * 10_000)
    findings = Findings([sent(long, body=b"\xff\x00" + b"x" * 5000 + b"%d" % number) for number in range(50)])
    kept = findings.measurements()
    assert len(kept["failing"]) == SHOWN
    assert {len(each["body"]) for each in kept["failing"]} == {500}
    assert {len(each["answer"]) for each in kept["failing"]} == {300}
    assert kept["failing"][0]["body"].startswith("\\xff\N{REPLACEMENT CHARACTER}x")
    assert "\\u0000" not in json.dumps(kept, allow_nan=False)
