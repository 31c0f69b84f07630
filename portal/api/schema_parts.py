"""The parts of the OpenAPI document that come from no serializer: problems, headers, parameters, and the webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.api import schema_examples as examples
from portal.api.errors import MEDIA_TYPE
from portal.api.idempotency import LONGEST_KEY
from portal.api.parsers import MAX_BYTES

DESCRIPTION = """\
The operations and queries of the portal, as JSON. Everything that can be done on a page can be done here, by the same
rules: an operation checks the role, then the state, writes the change and its entry in the record together, and tells
a refusal as a problem that names the rule.

**Who asks.** A program sends `Authorization: Bearer sg_…` with an API token; a page sends the session's cookie and
Django's CSRF token. A token does only what its scopes say, and never approves, waives or changes a policy.

**Lists** come in pages. Follow `next` until it is null; `limit` says how many rows a page has.

**Sending again.** With an `Idempotency-Key`, a request that is sent again within 24 hours is answered again and carried
out once.

**Limits.** Every answer says in `RateLimit` what is left of the minute. A 429 says in `Retry-After` when to come back.

**Problems** are RFC 9457 documents of the type `application/problem+json`. `type` and `rule` are for programs and do
not change; `detail` is a sentence for people, and may.
"""

PROBLEMS: Mapping[int, str] = {
    400: "The request cannot be read: a value is not valid (`errors` names the fields), JSON is malformed, or a cursor "
    "is not one.",
    401: "Nobody is signed in, or the token is not valid.",
    403: "Your roles, or the token's scopes, do not allow it.",
    404: "There is nothing here.",
    406: "No such media type is offered.",
    409: "The state of things does not allow it now. `rule` says which rule refused, `closed_by` which criteria keep a "
    "gate closed. `still_running`: the first request with this idempotency key has not been answered yet.",
    413: f"The body is larger than {MAX_BYTES // 1024} KiB.",
    415: "The body is not JSON.",
    422: "The request is understood, and a rule refuses what it says: a missing reason, a policy with `problems`, an "
    "idempotency key that came with another request.",
    429: "Too many requests within a minute.",
    503: "MLflow cannot be reached, so nothing was decided. Try again when it is back.",
}

RATE_HEADERS = {
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}},
    "RateLimit": {"description": "What is left, and for how many seconds.", "schema": {"type": "string"}},
    "RateLimit-Policy": {
        "description": "How many requests a window of how many seconds.",
        "schema": {"type": "string"},
    },
}
_PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}


def _response(status: int, description: str) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": _PROBLEM_REF}}
    response: dict[str, Any] = {"description": description, "content": content}
    if status == 429:
        response["headers"] = RATE_HEADERS
    if status == 401:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response


PROBLEM = {
    "type": "object",
    "description": "A refusal, as RFC 9457 has it.",
    "required": ["type", "title", "status", "detail", "rule", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "`urn:stagegate:` and the rule."},
        "title": {"type": "string", "description": "The rule in words."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What was refused and what to do, for people."},
        "rule": {"type": "string", "description": "The rule that refused, for programs."},
        "instance": {"type": "string", "format": "uri-reference", "description": "The address that was asked."},
        "errors": {
            "description": "What is wrong, by field. Of a list, one object an element.",
            "type": ["object", "array"],
        },
        "closed_by": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Finding"},
            "description": "The criteria that keep the gate closed.",
        },
        "problems": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/PolicyProblem"},
            "description": "What is wrong in a policy, by line.",
        },
    },
    "examples": [examples.PROBLEM],
}
POLICY_PROBLEM = {
    "type": "object",
    "required": ["line", "column", "path", "message"],
    "properties": {
        "line": {"type": ["integer", "null"]},
        "column": {"type": ["integer", "null"]},
        "path": {"type": "array", "items": {"type": ["string", "integer"]}},
        "message": {"type": "string"},
    },
}
TAKEN = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "string", "enum": ["taken", "taken already"]}},
}
COMPONENTS: Mapping[str, Mapping[str, Any]] = {
    "schemas": {"Problem": PROBLEM, "PolicyProblem": POLICY_PROBLEM, "Taken": TAKEN},
    "responses": {f"Problem{status}": _response(status, text) for status, text in PROBLEMS.items()},
    "parameters": {
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "A word of your own for this request, new for each. Sent again with the same one, the "
            "request is answered again and carried out once.",
            "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]+$"},
            "example": "7c1f0a52-0d5e-4b7e-9a53-0c8f5f0f8f1e",
        }
    },
    "headers": {
        "IdempotencyReplayed": {
            "description": "`true` when this answer was given before, and nothing was done now.",
            "schema": {"type": "string", "const": "true"},
        }
    },
}

_NUMBER = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
PATH_PARAMETERS: Mapping[str, Any] = {
    "name": {"description": "The model's slug, or its exact name.", "schema": {"minLength": 1}},
    "version": {"description": "MLflow's number of the version.", "schema": _NUMBER},
    "number": {"description": "The policy's number.", "schema": _NUMBER},
    "id": {"description": "Its number.", "schema": _NUMBER},
    "username": {"description": "The user name; upper and lower case are the same.", "schema": {"minLength": 1}},
    "slug": {"description": "The team's address.", "schema": {"minLength": 1}},
}

REASON = {
    "type": "string",
    "minLength": 1,
    "maxLength": 2000,
    "description": "Why; it becomes part of the record.",
}
"""Serializers leave it to the operation, which refuses a change without a reason and records the attempt."""
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_NUMBER_OR_NULL = {"type": ["integer", "null"], "description": "A version's number."}
PROPERTIES: Mapping[str, Mapping[str, Any]] = {
    "Model.tags": _TEXTS,
    "Model.aliases": {"type": "object", "additionalProperties": {"type": "integer"}},
    "ModelDetail.tags": _TEXTS,
    "ModelDetail.aliases": {"type": "object", "additionalProperties": {"type": "integer"}},
    "Version.tags": _TEXTS,
    "Version.params": _TEXTS,
    "Version.metrics": {"type": "object"},
    "Version.signature": {"type": ["object", "null"]},
    "Disagreement.version": _NUMBER_OR_NULL,
    "Transition.stable": {**_NUMBER_OR_NULL, "description": "The version that served when it began."},
    "Transition.previous": {**_NUMBER_OR_NULL, "description": "The version that a rollback brings back."},
    "Transition.steps": {"type": "array", "items": {"type": "object"}, "description": "The plan of the rollout."},
    "Approval.roles": {"type": "array", "items": {"type": "string"}},
    "Evidence.outcome": {"type": "string", "enum": ["passed", "failed"]},
    "Evidence.measurements": {"type": "object", "description": "What a check measured in full."},
    "Audit.actor_roles": {"type": "array", "items": {"type": "string"}},
    "Audit.details": {"type": "object"},
}
"""Fields of which their serializers say too little, as ``Component.field``."""

HOOK: Mapping[str, Any] = {
    "post": {
        "operationId": "takeWebhook",
        "tags": ["For machines"],
        "summary": "MLflow's webhooks",
        "description": "MLflow tells that something has changed; what did is then read from MLflow itself. A delivery "
        "is signed with HMAC-SHA256 over its id, its timestamp and its body, and may be five minutes old.",
        "security": [{}],
        "parameters": [
            {
                "name": f"X-MLflow-{name}",
                "in": "header",
                "required": True,
                "description": description,
                "schema": {"type": "string"},
            }
            for name, description in (
                ("Delivery-Id", "Unique; one that was taken before has no effect."),
                ("Timestamp", "Whole seconds since 1970."),
                ("Signature", "`v1,` and the signature in Base64."),
            )
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["entity", "action", "data"],
                        "properties": {
                            "entity": {"type": "string"},
                            "action": {"type": "string"},
                            "timestamp": {"type": "string"},
                            "data": {"type": "object"},
                        },
                    },
                    "examples": {
                        "Sent": {
                            "value": {
                                "entity": "model_version_tag",
                                "action": "set",
                                "timestamp": "2026-03-01T09:00:00Z",
                                "data": {"name": "iris", "version": "2", "key": "reviewed", "value": "yes"},
                            }
                        }
                    },
                }
            },
        },
        "responses": {
            "202": {
                "description": "Taken.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Taken"}}},
            },
            "200": {
                "description": "Taken already: it has no effect again.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Taken"}}},
            },
            "400": {"$ref": "#/components/responses/Problem400"},
            "403": {"$ref": "#/components/responses/Problem403"},
            "413": {"$ref": "#/components/responses/Problem413"},
            "429": {"$ref": "#/components/responses/Problem429"},
        },
    }
}
