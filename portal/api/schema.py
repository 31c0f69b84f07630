"""The OpenAPI document: made once a process from the views, their serializers and ``schema_operations``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml
from django.conf import settings
from drf_spectacular.generators import SchemaGenerator
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.base import APIView
from portal.api.schema_class import AutoSchema
from portal.api.schema_operations import OPERATIONS, TAGS
from portal.api.schema_parts import COMPONENTS, DESCRIPTION, HOOK, PATH_PARAMETERS, PROPERTIES, REASON

AutoSchema.operations = OPERATIONS


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Postprocessing: what serializers do not say of their fields, and what belongs to no serializer."""
    for path, item in result["paths"].items():
        for operation in item.values():
            _complete_parameters(operation.get("parameters", ()))
            _complete_yaml(operation)
        if path.endswith("/business-metrics/"):
            _one_or_many(item["post"])
    _complete_schemas(result["components"]["schemas"], sent=_sent(result))
    _without_traces(result)
    result["paths"]["/api/v1/hooks/mlflow/"] = HOOK
    for section, parts in COMPONENTS.items():
        result["components"].setdefault(section, {}).update(parts)
    return result


def _sent(result: dict[str, Any]) -> set[str]:
    """The names of the components that bodies to send are made of: what is answered has every field."""
    bodies = [operation.get("requestBody", {}) for item in result["paths"].values() for operation in item.values()]
    return set(re.findall(r"#/components/schemas/(\w+)", json.dumps(bodies)))


def _complete_schemas(schemas: dict[str, Any], sent: set[str]) -> None:
    for name, schema in schemas.items():
        fields = schema.get("properties", {})
        if name not in sent:
            schema["required"] = sorted(fields)
            _without_patterns(fields)
        elif "reason" in fields:
            fields["reason"] = REASON
            schema["required"] = sorted({*schema.get("required", ()), "reason"})
    for where, said in PROPERTIES.items():
        name, _, field = where.partition(".")
        schemas[name]["properties"][field] = said


def _without_patterns(fields: dict[str, Any]) -> None:
    """They check what is sent, and are Python's: to other languages a word is ASCII."""
    for field in fields.values():
        field.pop("pattern", None)


def _complete_parameters(parameters: Any) -> None:
    for parameter in parameters:
        said = PATH_PARAMETERS.get(parameter.get("name", "")) if parameter.get("in") == "path" else None
        if said is not None:
            parameter["description"] = said["description"]
            parameter["schema"].update(said["schema"])


def _complete_yaml(operation: dict[str, Any]) -> None:
    """What comes as YAML is a file, and not the JSON object written in another way."""
    for response in operation["responses"].values():
        for media_type, content in response.get("content", {}).items():
            if media_type.endswith("yaml"):
                content["schema"] = {"description": "The same as a file."}


def _one_or_many(operation: dict[str, Any]) -> None:
    for content in operation["requestBody"]["content"].values():
        one = content["schema"]
        content["schema"] = {"oneOf": [one, {"type": "array", "items": one}]}


def _without_traces(part: Any) -> None:
    """The generator's own marks."""
    if isinstance(part, dict):
        part.pop("x-spec-enum-id", None)
        for each in part.values():
            _without_traces(each)
    elif isinstance(part, list):
        for each in part:
            _without_traces(each)


@cache
def document() -> Mapping[str, Any]:
    """The OpenAPI document."""
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    tags = [{"name": name, "description": text} for name, text in TAGS.items()]
    info = {**made["info"], "description": DESCRIPTION}
    return {**made, "info": info, "tags": tags, "servers": [{"url": settings.PUBLIC_URL}]}


class YamlRenderer(BaseRenderer):
    """The document; problems stay JSON."""

    media_type = "application/yaml"
    format = "yaml"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        failed = (renderer_context or {})["response"].status_code >= 400
        return bytes(JSONRenderer().render(data)) if failed else _as_yaml()


@cache
def _as_yaml() -> bytes:
    """By way of JSON: the document holds values of the framework's that YAML does not know."""
    plain = json.loads(JSONRenderer().render(document()))
    return bytes(yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, encoding="utf-8"))


class SchemaDocument(APIView):
    renderer_classes = (JSONRenderer, YamlRenderer)

    def get(self, request: Request) -> Response:
        return Response(document())
