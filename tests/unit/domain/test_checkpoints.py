"""Checkpoints: signed, in a chain, tried again at longer and longer pauses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_public_key

from lifecycle.domain import chain
from lifecycle.domain.checkpoints import (
    BadKeyError,
    BrokenError,
    content,
    file_name,
    key_id,
    load_key,
    new_key,
    next_attempt,
    public_pem,
    sign,
    statement_hash,
    verify,
)

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
KEY = load_key(new_key())
OTHER = load_key(new_key())


def statements(*seqs: int, key=KEY):
    made = []
    for seq in seqs:
        made.append(sign(key, seq=seq, entry_hash=f"{seq:064x}", at=NOW, previous=made[-1] if made else None))
    return made


def broken(given, **options):
    with pytest.raises(BrokenError) as caught:
        verify(given, **options)
    return caught.value.position, str(caught.value)


def test_a_statement_says_what_it_is_about():
    first, second = statements(3, 8)
    assert {**first, "signature": ""} == {
        "seq": 3,
        "hash": f"{3:064x}",
        "at": "2026-03-01T09:00:00.000000Z",
        "previous": chain.FIRST,
        "key_id": key_id(KEY),
        "signature": "",
    }
    assert second["previous"] == statement_hash(first)
    assert file_name(first) == "checkpoint-000000000003.json"
    assert content(first).endswith(b"\n")


def test_statements_that_hold_pass():
    made = statements(3, 8, 9)
    verify(made, keys=frozenset({key_id(KEY)}))
    verify(made[1:], previous=statement_hash(made[0]))
    verify([])


@pytest.mark.parametrize("name", ["seq", "hash", "at", "previous", "key_id", "signature"])
def test_an_edit_of_any_field_shows(name):
    made = statements(3, 8, 9)
    wrong = made[1][name] + 1 if name == "seq" else made[0].get(name, "") if name == "signature" else "0" * 63 + "1"
    position, why = broken([made[0], {**made[1], name: wrong}, made[2]])
    assert position == 1
    assert "signature is not right" in why


def test_signatures_are_written_in_one_way():
    (made,) = statements(3)
    for wrong in (made["signature"].upper(), made["signature"] + " ", None, 7):
        assert broken([{**made, "signature": wrong}])[0] == 0


def test_a_field_too_many_or_too_few_shows():
    (made,) = statements(3)
    assert "fields" in broken([{**made, "note": ""}])[1]
    assert "fields" in broken([{name: made[name] for name in made if name != "at"}])[1]


def test_a_dropped_statement_shows():
    first, _, third = statements(3, 8, 9)
    assert broken([first, third]) == (1, "it does not follow the one before: one is missing, or the record was forked")
    assert broken([third])[0] == 0


def test_a_fork_shows():
    first, second = statements(3, 8)
    fork = sign(KEY, seq=9, entry_hash="f" * 64, at=NOW, previous=first)
    assert broken([first, second, fork])[0] == 2


def test_statements_go_forward():
    first = statements(3)[0]
    assert "not after" in broken([first, sign(KEY, seq=3, entry_hash="f" * 64, at=NOW, previous=first)])[1]


def test_another_key_does_not_count_when_the_keys_are_known():
    made = statements(3, key=OTHER)
    verify(made)
    assert "not trusted" in broken(made, keys=frozenset({key_id(KEY)}))[1]


def test_the_public_key_is_what_other_tools_read():
    public = load_pem_public_key(public_pem(key_id(KEY)).encode())
    assert public == KEY.public_key()


def test_a_key_that_cannot_sign_is_refused():
    rsa = generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(BadKeyError, match="not one for Ed25519"):
        load_key(rsa)
    for text in (b"", b"x", public_pem(key_id(KEY)).encode()):
        with pytest.raises(BadKeyError, match="PEM"):
            load_key(text)


def test_pauses_grow_to_an_hour():
    times = [next_attempt(NOW, attempts) for attempts in range(9)]
    pauses = [(later - earlier) / timedelta(minutes=1) for earlier, later in pairwise(times)]
    assert times[0] == NOW
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
