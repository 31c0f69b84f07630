"""The auditor's program: it accepts what is right, and finds whatever is not."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

import verify_audit
from lifecycle.domain import chain, checkpoints
from verify_audit import Wrong

BEGAN = datetime(2026, 3, 1, 9, tzinfo=UTC)
KEY = checkpoints.load_key(checkpoints.new_key())
OTHER_KEY = checkpoints.load_key(checkpoints.new_key())
SIZE, EVERY = 60, 10
MUTATIONS = 1000


@dataclass(frozen=True)
class Evidence:
    """What an auditor has: the lines of an export, and the checkpoints' contents by name."""

    lines: tuple[bytes, ...]
    files: tuple[tuple[str, bytes], ...]

    def check(self, *, partial: bool = False) -> verify_audit.Entries:
        found = verify_audit.check_checkpoints(self.files, frozenset({checkpoints.key_id(KEY)}))
        return verify_audit.check_entries(self.lines, found, partial=partial)

    def entry(self, position: int) -> dict[str, Any]:
        return json.loads(self.lines[position])

    def with_line(self, position: int, line: bytes) -> Evidence:
        return replace(self, lines=(*self.lines[:position], line, *self.lines[position + 1 :]))

    def statement(self, position: int) -> dict[str, Any]:
        return json.loads(self.files[position][1])

    def with_file(self, position: int, content: bytes) -> Evidence:
        name = self.files[position][0]
        return replace(self, files=(*self.files[:position], (name, content), *self.files[position + 1 :]))


def an_entry(seq: int) -> dict[str, Any]:
    return {
        "seq": seq,
        "at": chain.timestamp(BEGAN + timedelta(seconds=seq)),
        "action": "transition_requested",
        "refused": seq % 7 == 0,
        "actor": "Ægir Þórsson",
        "actor_id": seq % 5 or None,
        "actor_roles": ["auditor", "ml_engineer"],
        "signed_in_by": "password",
        "address": "127.0.0.1",
        "model": "iris",
        "version": seq % 4 or None,
        "semantic_version": "1.0.0",
        "from_stage": "Staging",
        "to_stage": "Production",
        "reason": 'It is better.\n\t"Much" better \u2028\U0001f600',
        "details": {
            "p95": seq / 7,
            "weights": {"1": 75, "2": 25},
            "limit": 1.0,
            "small": 1e-7,
            "\ufb33": 1,
            "\U0001f600": [],
        },
        "transition": seq,
        "policy": 3,
        "evidence_digest": "ab" * 32,
    }


def chained(entries: list[dict[str, Any]], previous: str) -> tuple[bytes, ...]:
    lines = []
    for entry in entries:
        body = {**{name: value for name, value in entry.items() if name != "hash"}, "previous_hash": previous}
        previous = chain.entry_hash(body)
        lines.append(chain.canonical({**body, "hash": previous}) + b"\n")
    return tuple(lines)


def signed(lines: tuple[bytes, ...]) -> tuple[tuple[str, bytes], ...]:
    files, previous = [], None
    for seq in range(EVERY, len(lines) + 1, EVERY):
        entry_hash = json.loads(lines[seq - 1])["hash"]
        at = BEGAN + timedelta(minutes=seq)
        previous = checkpoints.sign(KEY, seq=seq, entry_hash=entry_hash, at=at, previous=previous)
        files.append((checkpoints.file_name(previous), checkpoints.content(previous)))
    return tuple(files)


LINES = chained([an_entry(seq) for seq in range(1, SIZE + 1)], chain.FIRST)
GOOD = Evidence(LINES, signed(LINES))


# ---------------------------------------------------------------- canonical JSON

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        [0.0, -0.0, 1.0, 1e-6, 1e-7, 5e-324, 123456.789, 2.0**52 + 0.5, -1.5e-300, "\ud800", "\x00", "\x7f"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(values)
@example({"\U0001f600": 1, "\ufb33": 2, "a": 3, "\r": 4, "é": 5})
def test_its_canonical_form_is_that_of_the_library(value: Any) -> None:
    """For whatever the record can hold: what has been through ``plain``, written and read."""
    plain = chain.plain(value)
    assert verify_audit.canonical(json.loads(json.dumps(plain))) == rfc8785.dumps(plain)


@settings(max_examples=500)
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e21)
@example(1e20)
@example(333333333.3333333)
@example(9.999999999999997e22)
@example(-0.0)
def test_its_numbers_are_those_of_the_library(value: float) -> None:
    assert verify_audit.number(value).encode() == rfc8785.dumps(value)
    assert float(verify_audit.number(value)) == value


@pytest.mark.parametrize(
    ("bits", "written"),
    [
        ("0000000000000001", "5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
    ],
)
def test_numbers_of_the_standards_own_table(bits: str, written: str) -> None:
    """Appendix B of RFC 8785."""
    assert verify_audit.number(float.fromhex(_hexadecimal(bits))) == written


def _hexadecimal(bits: str) -> str:
    number = int(bits, 16)
    sign, exponent, fraction = number >> 63, number >> 52 & 0x7FF, number & (1 << 52) - 1
    return f"{'-' if sign else ''}0x{1 if exponent else 0}.{fraction:013x}p{(exponent or 1) - 1023}"


@pytest.mark.parametrize(
    "text",
    [
        "9007199254740992",
        "1e999",
        "NaN",
        "Infinity",
        '{"a": 1, "a": 1}',
        '"\\ud800"',
        '{"\\udc00": 1}',
        "[" * 100_000,
        "\ufeff{}",
        "",
    ],
)
def test_what_has_no_one_meaning_is_refused(text: str) -> None:
    line = ('{"a": ' + text + "}").encode()
    with pytest.raises(Wrong):
        verify_audit.canonical(verify_audit.read_object(line))


# ---------------------------------------------------------------- what is right


def test_a_record_that_is_right_passes() -> None:
    assert GOOD.check().count == SIZE
    assert GOOD.check().last == (SIZE, chain.timestamp(BEGAN + timedelta(seconds=SIZE)))


def test_entries_after_the_newest_checkpoint_pass_on_the_chain_alone() -> None:
    assert replace(GOOD, files=GOOD.files[:-1]).check().count == SIZE


@pytest.mark.parametrize(
    "rewritten",
    [
        lambda line: json.dumps(json.loads(line)).encode(),
        lambda line: (
            json.dumps(dict(reversed(json.loads(line).items())), indent=1).replace("\n", " ").encode() + b"\r\n"
        ),
        lambda line: line.replace(b'"limit":1', b'"limit":1.0').replace(b"1e-7", b"0.0000001"),
    ],
)
def test_another_way_of_writing_the_same_is_no_change(rewritten: Any) -> None:
    assert replace(GOOD, lines=tuple(rewritten(line) for line in GOOD.lines)).check().count == SIZE


def test_an_export_that_begins_in_the_middle_passes_only_when_that_was_asked_for() -> None:
    middle = replace(GOOD, lines=GOOD.lines[25:])
    with pytest.raises(Wrong, match=r"line 1 \(entry 26\): entry 1 should stand here"):
        middle.check()
    assert middle.check(partial=True).first[0] == 26


@pytest.mark.parametrize("left_out", [40, 45, 49, 50])
def test_an_export_from_the_middle_passes_as_far_as_a_checkpoint_reaches(left_out: int) -> None:
    assert replace(GOOD, lines=GOOD.lines[left_out:], files=GOOD.files[:5]).check(partial=True).first[0] == left_out + 1


# ---------------------------------------------------------------- what is not


@pytest.mark.parametrize("left_out", [10, 50])
def test_an_export_from_the_middle_of_a_fork_is_found(left_out: int) -> None:
    """The first entry names another one before it than the checkpoint of that one does."""
    evidence = replace(GOOD, files=GOOD.files[: left_out // EVERY])
    entries = [evidence.entry(position) for position in range(left_out, SIZE)]
    fork = replace(evidence, lines=chained(entries, "cd" * 32))
    where = rf"line 1 \(entry {left_out + 1}\)"
    with pytest.raises(Wrong, match=f"{where}: a checkpoint says that the entry before it had another hash"):
        fork.check(partial=True)


@pytest.mark.parametrize("left_out", [51, SIZE - 1])
def test_entries_of_which_no_checkpoint_speaks_are_not_called_right(left_out: int) -> None:
    unsigned = replace(GOOD, lines=GOOD.lines[left_out:], files=GOOD.files[:5])
    with pytest.raises(Wrong, match=rf"line 1 \(entry {left_out + 1}\): nothing signed speaks for it"):
        unsigned.check(partial=True)


def test_a_number_beyond_those_of_json_is_named() -> None:
    line = GOOD.lines[2].replace(b'"limit":1,', b'"limit":-1e999,')
    with pytest.raises(Wrong, match=r"line 3 \(entry 3\): it holds a number that is larger than JSON's numbers are"):
        GOOD.with_line(2, line).check()


def other(value: Any, draw: random.Random) -> Any:
    """A value that is not the one given, sometimes hardly to be told from it."""
    if isinstance(value, bool):
        return draw.choice([not value, int(value), str(value).lower(), None])
    if isinstance(value, int | float):
        return draw.choice([value + 1, -value - 1, str(value), None, [value], math.nextafter(value, math.inf)])
    if isinstance(value, str):
        doubles = {"a": "\u0430", "e": "\u0435", "i": "\u0456"}
        subtle = [value + " ", value + "\u200b", value[:-1] or "x", value.swapcase() + "_", value + "\u0301"]
        alike = "".join(doubles.get(letter, letter) for letter in value)
        return draw.choice([*subtle, *([alike] if alike != value else []), [value]])
    if isinstance(value, list):
        return draw.choice([[*value, "administrator"], value[1:] or ["x"], value[::-1] if len(value) > 1 else {}])
    if isinstance(value, dict) and value:
        name = draw.choice(sorted(value))
        changed = {**value, name: other(value[name], draw)}
        return draw.choice([changed, {each: value[each] for each in value if each != name}, {**value, "new": 1}])
    return draw.choice([0, "", False, {}]) if value is None else None


def edited(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    """One field of one entry. The line and, unless it is the number itself, the entry must be named."""
    position = draw.randrange(SIZE)
    entry = good.entry(position)
    name = draw.choice([*entry, "details", "a new one"])
    entry[name] = other(entry.get(name), draw)
    expected = f"line {position + 1} (entry {entry['seq']})"
    return good.with_line(position, json.dumps(entry, ensure_ascii=draw.random() < 0.5).encode()), expected


def without_a_field(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    position = draw.randrange(SIZE)
    entry = good.entry(position)
    del entry[draw.choice(sorted(entry))]
    return good.with_line(position, json.dumps(entry).encode()), f"line {position + 1} (entry {entry.get('seq')})"


def byte_flipped(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    position = draw.randrange(SIZE)
    line = bytearray(good.lines[position][:-1])
    while True:
        flipped = bytearray(line)
        flipped[draw.randrange(len(line))] ^= 1 << draw.randrange(8)
        if _value(bytes(flipped)) != good.entry(position):
            return good.with_line(position, bytes(flipped)), f"line {position + 1} "


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def repeated_name(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    """Other readers than Python's take the first of two equal names."""
    position = draw.randrange(SIZE)
    line = good.lines[position].replace(b'{"action"', b'{"reason":"nothing","action"', 1)
    return good.with_line(position, line), f"line {position + 1} "


def deleted(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    position, count = draw.randrange(SIZE), draw.choice([1, 1, 3])
    lines = good.lines[:position] + good.lines[position + count :]
    following = (
        f"(entry {position + 1 + count})" if position + count < SIZE else f"(entry {position + 1}): it is missing"
    )
    return replace(good, lines=lines), f"line {position + 1} {following}"


def swapped(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    first, second = sorted(draw.sample(range(SIZE), 2))
    lines = list(good.lines)
    lines[first], lines[second] = lines[second], lines[first]
    return replace(good, lines=tuple(lines)), f"line {first + 1} (entry {second + 1})"


def duplicated(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    position, target = draw.randrange(SIZE), draw.randrange(SIZE + 1)
    lines = (*good.lines[:target], good.lines[position], *good.lines[target:])
    wrong = target if target != position else position + 1
    named = position + 1
    return replace(good, lines=lines), f"line {wrong + 1} (entry {named})"


def truncated(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    left = draw.randrange(SIZE)
    return replace(good, lines=good.lines[:left]), f"line {left + 1} (entry {left + 1}): it is missing"


def forked(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    """From some entry on another history, whose hashes are all right."""
    position = draw.randrange(SIZE)
    entries = [good.entry(each) for each in range(position, SIZE)]
    entries[0]["reason"] = "Something else."
    previous = good.entry(position - 1)["hash"] if position else chain.FIRST
    noticed = math.ceil((position + 1) / EVERY) * EVERY
    lines = good.lines[:position] + chained(entries, previous)
    return replace(good, lines=lines), f"line {noticed} (entry {noticed}): a checkpoint says"


def rewritten_with_its_checkpoints(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    """All of it anew, signed by a key of the forger's."""
    lines = forked(draw, good)[0].lines
    forged, previous = [], None
    for seq in range(EVERY, SIZE + 1, EVERY):
        entry_hash = json.loads(lines[seq - 1])["hash"]
        previous = checkpoints.sign(OTHER_KEY, seq=seq, entry_hash=entry_hash, at=BEGAN, previous=previous)
        pretended = {**previous, "key_id": checkpoints.key_id(KEY)} if draw.random() < 0.5 else previous
        forged.append((checkpoints.file_name(previous), checkpoints.content(pretended)))
    return replace(good, lines=lines, files=tuple(forged)), "checkpoint checkpoint-000000000010.json: "


def checkpoint_edited(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    position = draw.randrange(len(good.files))
    statement = good.statement(position)
    name = draw.choice([*statement, "a new one"])
    statement[name] = other(statement.get(name), draw)
    return good.with_file(position, json.dumps(statement).encode()), f"checkpoint {good.files[position][0]}: "


def checkpoint_removed(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    position = draw.randrange(len(good.files) - 1)
    files = good.files[:position] + good.files[position + 1 :]
    return replace(good, files=files), f"checkpoint {files[position][0]} does not follow the one before"


def checkpoint_forked(draw: random.Random, good: Evidence) -> tuple[Evidence, str]:
    """A second history, signed with the right key: as when an old copy of the database was put in place."""
    position = draw.randrange(1, len(good.files))
    seq = good.statement(position)["seq"] - draw.randrange(EVERY)
    before = good.statement(position - 1)
    extra = checkpoints.sign(KEY, seq=seq, entry_hash="f" * 64, at=BEGAN, previous=before)
    return replace(good, files=(*good.files, ("again.json", checkpoints.content(extra)))), "forked"


KINDS = (edited,) * 8 + (
    *(
        without_a_field,
        byte_flipped,
        byte_flipped,
        repeated_name,
        deleted,
        swapped,
        duplicated,
        truncated,
        forked,
        forked,
    ),
    *(rewritten_with_its_checkpoints, checkpoint_edited, checkpoint_edited, checkpoint_removed, checkpoint_forked),
)


def test_a_thousand_mutations_are_found_and_named() -> None:
    draw, unfound = random.Random(20260301), []
    for number in range(MUTATIONS):
        kind = draw.choice(KINDS)
        evidence, expected = kind(draw, deepcopy(GOOD))
        try:
            evidence.check()
        except Wrong as wrong:
            if expected not in str(wrong):
                unfound.append(f"{number} {kind.__name__}: expected {expected!r}, found {wrong}")
        else:
            unfound.append(f"{number} {kind.__name__}: not found ({expected})")
    assert unfound == []


# ---------------------------------------------------------------- the command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checkpoints").mkdir()
    for name, content in GOOD.files:
        (tmp_path / "checkpoints" / name).write_bytes(content)
    (tmp_path / "checkpoints" / "key.pem").write_text(checkpoints.public_pem(checkpoints.key_id(KEY)))
    (tmp_path / "export.jsonl").write_bytes(b"".join(GOOD.lines))
    return tmp_path


def verify(folder: Path, *options: str) -> int:
    return verify_audit.main([str(folder / "export.jsonl"), str(folder / "checkpoints"), *options])


def test_it_says_what_it_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(folder, "--public-key", str(folder / "checkpoints" / "key.pem")) == 0
    said = capsys.readouterr().out
    assert "Checkpoints: 6, for entries 10 to 60" in said
    assert "newest is from 2026-03-01T10:00:00.000000Z" in said
    assert "Entries:     60, from 1 (2026-03-01T09:00:01.000000Z) to 60" in said
    assert "TAKEN FROM" not in said
    assert said.endswith("RIGHT: nothing was changed, removed, moved or added up to the newest checkpoint.\n")


def test_it_says_when_it_has_to_trust_the_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(folder) == 0
    said = capsys.readouterr().out
    assert f"Public key:  {checkpoints.key_id(KEY)}" in said
    assert "TAKEN FROM THE CHECKPOINTS THEMSELVES" in said


def test_it_says_what_it_could_not_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "checkpoints" / GOOD.files[-1][0]).unlink()
    (folder / "export.jsonl").write_bytes(b"".join(GOOD.lines[20:]))
    assert verify(folder, "--partial", "--public-key", checkpoints.key_id(KEY)) == 0
    said = capsys.readouterr().out
    assert "nothing is said about entries 1 to 20" in said
    assert "Entries from 51 on are newer than the newest checkpoint" in said


def test_it_does_not_say_right_where_nothing_signed_speaks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "checkpoints" / GOOD.files[-1][0]).unlink()
    (folder / "export.jsonl").write_bytes(b"".join(GOOD.lines[55:]))
    assert verify(folder, "--partial", "--public-key", checkpoints.key_id(KEY)) == 1
    said = capsys.readouterr().out
    assert "nothing signed speaks for it" in said
    assert "\nRIGHT" not in said


def test_another_key_than_the_auditors_does_not_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(folder, "--public-key", checkpoints.key_id(OTHER_KEY)) == 1
    assert "signed by a key that you did not name" in capsys.readouterr().out
    assert verify(folder, "--public-key", checkpoints.key_id(OTHER_KEY), "--public-key", checkpoints.key_id(KEY)) == 0


@pytest.mark.parametrize("missing", ["export.jsonl", "checkpoints", "key"])
def test_input_that_cannot_be_read_is_neither_right_nor_wrong(folder: Path, missing: str) -> None:
    options = ["--public-key", str(folder / "no.pem")] if missing == "key" else []
    if missing != "key":
        (folder / missing).rename(folder / "elsewhere")
    assert verify(folder, *options) == 2


def test_no_checkpoints_are_not_taken_for_right_ones(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (folder / "checkpoints").glob("*.json"):
        file.unlink()
    assert verify(folder) == 2
    assert "there is no checkpoint" in capsys.readouterr().err


def test_it_runs_by_itself_anywhere(folder: Path) -> None:
    """Without the project on its path: -I leaves the environment and the current folder out."""
    program = folder / "verify_audit.py"
    program.write_bytes(Path(verify_audit.__file__).read_bytes())
    command = [sys.executable, "-I", str(program), "export.jsonl", "checkpoints/"]
    assert subprocess.run(command, cwd=folder, capture_output=True).returncode == 0
    (folder / "export.jsonl").write_bytes(b"".join(GOOD.lines[:30]))
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert found.returncode == 1
    assert "line 31 (entry 31): it is missing. The export ends with entry 30" in found.stdout
