"""The documentation as a page of our own, made from the OpenAPI document: no script and no style but the portal's."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from portal.api.schema import document
from portal.api.schema_operations import TAGS

Schema = Mapping[str, Any]
DEEPEST = 5
"""How far a body to send is unfolded."""
METHODS = ("get", "post", "patch")


@dataclass(frozen=True, slots=True)
class Line:
    """One field or parameter. ``link`` is the object that it holds, where that is described elsewhere on the page."""

    name: str
    kind: str
    required: bool = False
    says: str = ""
    bounds: str = ""
    link: str = ""
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """``example`` is JSON, "" where there is none."""

    status: str
    says: str
    kind: str = ""
    link: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation. ``words`` is what the search looks through, in small letters."""

    id: str
    method: str
    path: str
    summary: str
    says: str
    curl: str
    words: str
    parameters: tuple[Line, ...]
    body: tuple[Line, ...]
    body_example: str
    answers: tuple[Answer, ...]
    problems: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    slug: str
    says: str
    endpoints: tuple[Endpoint, ...]


@require_GET
def docs(request: HttpRequest) -> HttpResponse:
    return render(request, "api_docs/docs.html", {"groups": groups(), "content": _content()})


@cache
def _content() -> SafeString:
    """Everything below the headline, once a process: it is the same for everybody."""
    context = {"groups": groups(), "objects": objects(), "intro": paragraphs(document()["info"]["description"])}
    return mark_safe(render_to_string("api_docs/_content.html", context))  # noqa: S308 - the template has escaped it


@cache
def groups() -> tuple[Group, ...]:
    """By tag, in the order of a person's work."""
    by_tag: dict[str, list[Endpoint]] = {tag: [] for tag in TAGS}
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                by_tag[item[method]["tags"][0]].append(_endpoint(path, method, item[method]))
    return tuple(Group(tag, slugify(tag), TAGS[tag], tuple(found)) for tag, found in by_tag.items() if found)


@cache
def objects() -> tuple[Line, ...]:
    """What is answered, each once, by name: whatever an endpoint links to, and what those link to."""
    schemas = document()["components"]["schemas"]
    return tuple(
        Line(name, "object", says=schema.get("description", ""), lines=tuple(_fields(schema)))
        for name, schema in sorted(schemas.items())
        if "properties" in schema
    )


def paragraphs(text: str) -> tuple[tuple[str, str], ...]:
    """Each with the words that it begins with in bold, and the rest."""
    found = []
    for part in text.strip().split("\n\n"):
        bold, rest = re.match(r"(?:\*\*(.+?)\*\*)?(.*)", part, re.DOTALL).groups("")  # type: ignore[union-attr]
        found.append((bold, rest.replace("`", "")))
    return tuple(found)


# ---------------------------------------------------------------- one endpoint


def _endpoint(path: str, method: str, operation: Schema) -> Endpoint:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    said = [_answer(status, _resolved(response)) for status, response in operation["responses"].items()]
    says = operation.get("description", "").replace("`", "")
    return Endpoint(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        says=says,
        curl=_curl(path, method, body),
        words=f"{operation['operationId']} {method} {path} {operation['summary']} {says}".lower(),
        parameters=tuple(_parameter(_resolved(each)) for each in operation.get("parameters", ())),
        body=tuple(_fields(_resolved(body.get("schema", {})), deep=True)),
        body_example=_example(body),
        answers=tuple(each for each in said if each.status < "400"),
        problems=tuple(each for each in said if each.status >= "400"),
    )


def _parameter(parameter: Schema) -> Line:
    place = "" if parameter["in"] == "query" else f"in the {parameter['in']}: "
    return _line(
        parameter["name"],
        {**parameter.get("schema", {}), "description": place + parameter.get("description", "")},
        required=parameter.get("required", False),
    )


def _answer(status: str, response: Schema) -> Answer:
    content = response.get("content", {})
    said: Schema = next(iter(content.values()), {})
    kind, link = _kind(said.get("schema", {}))
    return Answer(status, response.get("description", "").replace("`", ""), kind, link, _example(said))


def _curl(path: str, method: str, body: Schema) -> str:
    """One line that can be pasted; the token comes from the environment, never from the line itself."""
    address = document()["servers"][0]["url"] + re.sub(r"\{(\w+)\}", r"\1", path)
    parts = ["curl", "--header", '"Authorization: Bearer $STAGEGATE_TOKEN"']
    sent = _example_value(body)
    if method != "get":
        parts += ["--header", '"Idempotency-Key: $(uuidgen)"']
    if method == "patch":
        parts += ["--request", "PATCH"]
    if sent is not None:
        parts += ["--json", shlex.quote(json.dumps(sent, ensure_ascii=False))]
    elif method == "post":
        parts += ["--request", "POST"]
    return " ".join([*parts, shlex.quote(address)])


def _example(content: Schema) -> str:
    value = _example_value(content)
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)


def _example_value(content: Schema) -> Any:
    return next((each["value"] for each in content.get("examples", {}).values()), None)


# ---------------------------------------------------------------- schemas


def _resolved(part: Schema) -> Schema:
    """What a reference within the document leads to."""
    while "$ref" in part:
        found: Any = document()
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = found
    return part


def _fields(schema: Schema, *, deep: bool = False, depth: int = 0) -> Iterator[Line]:
    """The fields of an object. ``deep``: with the fields of the objects in them, instead of a link."""
    schema = _one(schema)
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield _line(name, field, required=name in required, deep=deep, depth=depth)


def _one(schema: Schema) -> Schema:
    """The object itself, where one or a list of them is taken."""
    schema = _resolved(schema)
    for choice in schema.get("oneOf", ()):
        if "properties" in _resolved(choice):
            return _resolved(choice)
    return schema


def _line(name: str, schema: Schema, *, required: bool, deep: bool = False, depth: int = 0) -> Line:
    kind, link = _kind(schema)
    lines: tuple[Line, ...] = ()
    if deep and link and depth < DEEPEST:
        inner = document()["components"]["schemas"][link]
        lines, link = tuple(_fields(inner, deep=True, depth=depth + 1)), ""
    says = schema.get("description", "").replace("`", "")
    return Line(name, kind, required, says, _bounds(schema), link, lines)


def _kind(schema: Schema) -> tuple[str, str]:
    """The type in words, and the component that it leads to."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return name, name
    for word in ("allOf", "oneOf", "anyOf"):
        if word in schema:
            found = [_kind(each) for each in schema[word]]
            return " or ".join(kind for kind, _ in found), next((link for _, link in found if link), "")
    if "enum" in schema:
        return " | ".join("null" if each is None else str(each) or '""' for each in schema["enum"]), ""
    types = schema.get("type", "any")
    words = [_word(each, schema) for each in ([types] if isinstance(types, str) else types)]
    link = _kind(schema["items"])[1] if "items" in schema else ""
    return " or ".join(words), link


def _word(kind: str, schema: Schema) -> str:
    if kind == "array" and schema.get("items"):
        return f"list of {_kind(schema['items'])[0]}"
    if kind == "string" and schema.get("format"):
        return str(schema["format"])
    return kind


BOUNDS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("default", "{} if it is not given"),
)
UNTOLD = frozenset({"", 2**63 - 1, -(2**63)})
"""The bounds of the database's columns say nothing to a person."""


def _bounds(schema: Schema) -> str:
    told: Iterable[str] = (
        words.format("null" if schema[name] is None else schema[name])
        for name, words in BOUNDS
        if name in schema and schema[name] not in UNTOLD
    )
    return ", ".join(told)
