#!/usr/bin/env python3
"""Check an export of Stagegate's record against its signed checkpoints, without trusting Stagegate.

    python verify_audit.py export.jsonl checkpoints/ --public-key checkpoint_key.pem

The export has one JSON object, an entry, on each line. An entry holds its number ``seq`` (1, 2, 3, ...), the hash of
the entry before as ``previous_hash`` and its own ``hash``: the SHA-256 of all its other fields in canonical JSON (RFC
8785). A checkpoint is a JSON file that says "at this time the record had the entry ``seq`` with this ``hash``". It
holds the SHA-256 of the checkpoint before as ``previous``, and an Ed25519 signature over its other fields in canonical
JSON; ``key_id`` is the public key (32 bytes in hexadecimal). The first entry and the first checkpoint hold 64 zeros.

Exit status: 0 everything fits, 1 something does not, or nothing signed speaks for the export, 2 the input cannot be
read. This file needs Python 3.11 and the library ``cryptography``, and nothing of Stagegate.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

FIRST = "0" * 64
CHECKPOINT = {"seq": int, "hash": str, "at": str, "previous": str, "key_id": str, "signature": str}


class Wrong(Exception):  # noqa: N818 - the input is wrong, not this program
    """What does not fit, in words for the auditor."""


class Unreadable(Exception):  # noqa: N818 - as above
    """The input cannot be read at all."""


# ---------------------------------------------------------------- canonical JSON (RFC 8785)

_text = json.JSONEncoder(ensure_ascii=False).encode


def canonical(value: Any) -> bytes:
    """The one form that RFC 8785 allows for a JSON value. Raises Wrong for a value that has none."""
    try:
        return _written(value).encode()
    except UnicodeEncodeError as error:
        raise Wrong("it holds half a character") from error
    except RecursionError as error:
        raise Wrong("it is nested too deeply") from error


def _written(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        if abs(value) >= 2**53:
            raise Wrong("it holds a whole number that JSON cannot hold exactly")
        return str(value)
    if isinstance(value, float):
        if math.isinf(value):
            raise Wrong("it holds a number that is larger than JSON's numbers are")
        return number(value)
    if isinstance(value, list):
        return "[" + ",".join([_written(each) for each in value]) + "]"
    return "{" + ",".join([begin + _written(value[name]) for name, begin in _names(tuple(value))]) + "}"


@lru_cache(1000)
def _names(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """An object's names in the order of their UTF-16 code units, and as they are written: the same for many entries."""
    return [(name, _text(name) + ":") for name in sorted(names, key=lambda name: name.encode("utf-16-be"))]


def number(value: float) -> str:
    """A double as ECMAScript writes it: the shortest digits that give it back, no exponent from 1e-6 to below 1e21."""
    if value == 0:
        return "0"
    sign, numerals, exponent = Decimal(repr(value)).normalize().as_tuple()
    digits, minus = "".join(map(str, numerals)), "-" if sign else ""
    point = len(digits) + int(exponent)
    if 0 < point <= 21:
        whole, fraction = digits[:point].ljust(point, "0"), digits[point:]
        return minus + whole + ("." + fraction if fraction else "")
    if -6 < point <= 0:
        return minus + "0." + "0" * -point + digits
    return minus + digits[0] + ("." + digits[1:] if digits[1:] else "") + f"e{point - 1:+d}"


def sha256(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name that stands twice in an object means one thing to one reader and another to the next."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in it")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


_decode = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number).decode


def read_object(line: bytes) -> dict[str, Any]:
    """The JSON object in these bytes. Raises Wrong."""
    try:
        value = _decode(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Wrong(f"it is not JSON that has one meaning ({error})") from error
    if not isinstance(value, dict):
        raise Wrong("it is not a JSON object")
    return value


# ---------------------------------------------------------------- checkpoints


@dataclass(frozen=True)
class Checkpoints:
    """Checkpoints that were found right: the hash that each entry must have, by its number; None of them is missing."""

    hashes: Mapping[int, str]
    newest: Mapping[str, Any]
    keys: frozenset[str]

    @property
    def last(self) -> int:
        return int(self.newest["seq"])


def check_checkpoints(files: Iterable[tuple[str, bytes]], trusted: frozenset[str] | None) -> Checkpoints:
    """All checkpoints, given as names and contents: signed by a trusted key, none missing between, no two disagree.

    ``trusted`` holds public keys in hexadecimal; None trusts every key that a checkpoint names. Raises Wrong.
    """
    found: dict[int, tuple[str, dict[str, Any]]] = {}
    for name, content in files:
        statement = _checkpoint(name, content, trusted)
        other, same = found.setdefault(statement["seq"], (name, statement))
        if same != statement:
            raise Wrong(
                f"checkpoints {other} and {name} disagree about entry {statement['seq']}: the record was forked"
            )
    previous = FIRST
    for seq in sorted(found):
        name, statement = found[seq]
        if statement["previous"] != previous:
            raise Wrong(f"checkpoint {name} does not follow the one before: one is missing, or the record was forked")
        previous = sha256(statement)
    statements = [statement for _, statement in found.values()]
    return Checkpoints(
        hashes={each["seq"]: each["hash"] for each in statements},
        newest=found[max(found)][1],
        keys=frozenset(each["key_id"] for each in statements),
    )


def _checkpoint(name: str, content: bytes, trusted: frozenset[str] | None) -> dict[str, Any]:
    try:
        statement = read_object(content)
        if {field: type(value) for field, value in statement.items()} != CHECKPOINT:
            raise Wrong(f"it does not have exactly the fields {', '.join(CHECKPOINT)}")
        if trusted is not None and statement["key_id"] not in trusted:
            raise Wrong(f"it is signed by a key that you did not name ({statement['key_id']})")
        _check_signature(statement)
    except Wrong as wrong:
        raise Wrong(f"checkpoint {name}: {wrong}") from wrong
    return statement


def _check_signature(statement: Mapping[str, Any]) -> None:
    signed = {name: value for name, value in statement.items() if name != "signature"}
    try:
        key = Ed25519PublicKey.from_public_bytes(_from_hex(statement["key_id"]))
        key.verify(_from_hex(statement["signature"]), canonical(signed))
    except (ValueError, InvalidSignature) as error:
        raise Wrong("its signature is not right: it was changed, or another key signed it") from error


def _from_hex(text: str) -> bytes:
    """The bytes, of which there is one way of writing."""
    found = bytes.fromhex(text)
    if found.hex() != text:
        raise ValueError("not in small hexadecimal digits alone")
    return found


# ---------------------------------------------------------------- entries


@dataclass(frozen=True)
class Entries:
    """Entries that were found right: how many, and number and time of the first and the last."""

    count: int
    first: tuple[int, str]
    last: tuple[int, str]


def check_entries(lines: Iterable[bytes], checkpoints: Checkpoints, *, partial: bool = False) -> Entries:
    """Every entry, in order, against the one before and the checkpoints. ``partial``: the export may begin anywhere.

    Raises Wrong, which names the first entry that is not right.
    """
    count, first, last, previous = 0, (0, ""), (0, ""), FIRST
    for count, line in enumerate(lines, start=1):
        entry = _entry(line, count, last[0])
        try:
            if count == 1 and partial:
                last, previous = _before(entry, checkpoints)
            _check_entry(entry, last[0] + 1, previous, checkpoints)
        except Wrong as wrong:
            raise Wrong(f"line {count} (entry {entry.get('seq')}): {wrong}") from wrong
        last, previous = (entry["seq"], str(entry.get("at"))), entry["hash"]
        first = last if count == 1 else first
    if last[0] < checkpoints.last:
        raise Wrong(
            f"line {count + 1} (entry {last[0] + 1}): it is missing. The export ends with entry {last[0]}, but the "
            f"newest checkpoint says that there was an entry {checkpoints.last} at {checkpoints.newest['at']} "
            "(copy the checkpoints first, and export then)"
        )
    return Entries(count, first, last)


def _entry(line: bytes, count: int, last: int) -> dict[str, Any]:
    try:
        return read_object(line)
    except Wrong as wrong:
        raise Wrong(f"line {count} (after entry {last}): {wrong}") from wrong


def _before(entry: Mapping[str, Any], checkpoints: Checkpoints) -> tuple[tuple[int, str], str]:
    """What an export that begins with this entry leaves out: number and time, and hash, of the entry before."""
    seq, previous = entry.get("seq"), entry.get("previous_hash")
    if type(seq) is not int or not isinstance(previous, str):
        raise Wrong("it has no seq or no previous_hash")
    if checkpoints.hashes.get(seq - 1, previous) != previous:
        raise Wrong("a checkpoint says that the entry before it had another hash: this is from a fork")
    if seq - 1 > checkpoints.last:
        raise Wrong(
            "nothing signed speaks for it, nor for what follows: the newest checkpoint is that of entry "
            f"{checkpoints.last}. Let the export begin there or earlier, or wait for a newer checkpoint"
        )
    return (seq - 1, ""), previous


def _check_entry(entry: Mapping[str, Any], seq: int, previous: str, checkpoints: Checkpoints) -> None:
    if type(entry.get("seq")) is not int or entry["seq"] != seq:
        raise Wrong(
            f"entry {seq} should stand here: entries are missing, moved or repeated (or the export was filtered, or "
            "begins in the middle: see --partial)"
        )
    if entry.get("previous_hash") != previous:
        raise Wrong("it does not hold the hash of the entry before: it, or the one before, was replaced")
    if entry.get("hash") != sha256({name: value for name, value in entry.items() if name != "hash"}):
        raise Wrong("its hash is not that of its content: it was changed")
    if checkpoints.hashes.get(seq, entry["hash"]) != entry["hash"]:
        raise Wrong("a checkpoint says that it had another hash: it, or an entry before it, was rewritten")


# ---------------------------------------------------------------- the command


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="the record as JSON lines, whole: no filter but one by time")
    parser.add_argument("checkpoints", type=Path, help="the folder with the checkpoints (*.json)")
    parser.add_argument(
        "--public-key",
        action="append",
        help="whose signatures count: a PEM file, or the key in hexadecimal; again for a further key",
    )
    parser.add_argument("--partial", action="store_true", help="the export may begin in the middle of the record")
    given = parser.parse_args(arguments)
    try:
        trusted = frozenset(map(read_key, given.public_key)) if given.public_key else None
        checkpoints = check_checkpoints(read_folder(given.checkpoints), trusted)
        say_checkpoints(checkpoints, by_auditor=trusted is not None)
        with given.export.open("rb") as lines:
            entries = check_entries(lines, checkpoints, partial=given.partial)
        say_entries(entries, checkpoints)
    except Wrong as wrong:
        print(f"NOT RIGHT: {wrong}.")
        return 1
    except (Unreadable, OSError) as error:
        print(f"CANNOT BE READ: {error}", file=sys.stderr)
        return 2
    print("RIGHT: nothing was changed, removed, moved or added up to the newest checkpoint.")
    return 0


def read_key(given: str) -> str:
    """A public key in hexadecimal, from a PEM file or as it is. Raises Unreadable, OSError."""
    if len(given) == len(FIRST) and not set(given.lower()) - set("0123456789abcdef"):
        return given.lower()
    try:
        key = load_pem_public_key(Path(given).read_bytes())
    except ValueError as error:
        raise Unreadable(f"{given} is not a public key in PEM form") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Unreadable(f"{given} is not an Ed25519 key")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def read_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the checkpoints in a folder. Raises Unreadable when it has none, OSError."""
    names = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    if not names:
        raise Unreadable(
            f"there is no checkpoint in {folder}, and without one nothing shows that the record was rewritten"
        )
    yield from ((path.name, path.read_bytes()) for path in names)


def say_checkpoints(checkpoints: Checkpoints, *, by_auditor: bool) -> None:
    hashes, newest = checkpoints.hashes, checkpoints.newest
    print(
        f"Checkpoints: {len(hashes)}, for entries {min(hashes)} to {checkpoints.last}; signatures right, none missing"
    )
    print(f"             between. The newest is from {newest['at']}; if newer ones exist, this folder lacks them.")
    for key in sorted(checkpoints.keys):
        print(f"Public key:  {key}")
    if not by_auditor:
        print(
            "             TAKEN FROM THE CHECKPOINTS THEMSELVES: whoever can write to the folder can have signed them"
        )
        print(
            "             with a key of their own. Compare it with a key that you were given otherwise (--public-key)."
        )


def say_entries(entries: Entries, checkpoints: Checkpoints) -> None:
    (first, began), (last, ended) = entries.first, entries.last
    print(f"Entries:     {entries.count:,}, from {first} ({began}) to {last} ({ended});")
    print("             none missing between, every hash right.")
    if first > 1:
        print(f"             The export begins in the middle: nothing is said about entries 1 to {first - 1}.")
    if last > checkpoints.last:
        print(f"             Entries from {checkpoints.last + 1} on are newer than the newest checkpoint: no signature")
        print("             speaks for them yet.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
