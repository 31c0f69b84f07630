"""Examples for the documentation. A test holds each against the schema that it stands in."""

from __future__ import annotations

from typing import Any

REASON = {"reason": "The figures of the last two days are good."}
STEER = {"reason": "Waiting for the end of the sale.", "step": 1}
TRANSITION_REQUEST = {
    "model": "iris",
    "version": 2,
    "to_stage": "Production",
    "strategy": "canary",
    "reason": "It is better on every metric.",
}
ROLLBACK_REQUEST = {"kind": "emergency", "reason": "Errors went up right after the promotion."}
EVIDENCE_REQUEST = {
    "criterion": "unit_tests",
    "outcome": "passed",
    "value": 214,
    "unit": "tests",
    "url": "https://ci.example.com/runs/4711",
}
WAIVER_REQUEST = {"criterion": "benchmarks", "reason": "The benchmark's data is being replaced.", "days": 7}
POLICY_REQUEST = {
    "model": "iris",
    "yaml": "staging_weight: 15\n",
    "reason": "Iris gets few requests.",
    "expected_number": 4,
}
FREEZE_REQUEST = {
    "name": "Holidays",
    "zone": "Europe/Vienna",
    "starts": "2026-12-24T12:00",
    "ends": "2027-01-02T08:00",
    "repeats": "yearly",
    "reason": "Nobody is there to watch a rollout.",
}
NEW_PERSON = {"username": "lena", "name": "Lena Huber", "email": "lena@example.com", "reason": "Joins the team."}
ROLE_CHANGE = {"role": "ml_engineer", "team": "botany", "reason": "Looks after iris from now on."}
TEAM = {"name": "Botany", "reason": "It owns the flowers."}
BUSINESS_REPORT = {
    "version": 2,
    "metric": "conversion",
    "count": 1200,
    "sum": 87.0,
    "sum_of_squares": 87.0,
    "id": "2026-03-01T09:00/2",
}

MODEL = {
    "name": "iris",
    "slug": "iris",
    "description": "Tells three kinds of iris apart.",
    "tags": {"owner": "botany"},
    "aliases": {"production": 1},
    "created_at": "2026-01-12T08:00:00Z",
    "updated_at": "2026-03-01T09:00:00Z",
}
VERSION = {
    "model": "iris",
    "version": 2,
    "semantic_version": "1.1.0",
    "stage": "Staging",
    "description": "",
    "tags": {"semantic_version": "1.1.0"},
    "status": "READY",
    "source": "models:/m-5f1d",
    "run_id": "5f1d0e6a4f0c4a0f9d1c2b3a4d5e6f70",
    "metrics": {"accuracy": 0.97},
    "params": {"max_depth": "6"},
    "signature": None,
    "created_at": "2026-02-27T16:20:00Z",
    "updated_at": "2026-02-28T10:00:00Z",
    "removed_at": None,
}
EVIDENCE = {
    "id": 41,
    "criterion": "unit_tests",
    "outcome": "passed",
    "source": "ci",
    "by": "ci",
    "at": "2026-02-27T16:31:00Z",
    "value": 214.0,
    "unit": "tests",
    "url": "https://ci.example.com/runs/4711",
    "detail": "",
    "measurements": {},
    "artifact_digest": "",
    "stale": "",
}
GATE = {
    "to": "Production",
    "open": False,
    "may_be_asked_for": False,
    "findings": [
        {
            "criterion": "security_scan",
            "label": "Security scan",
            "question": "Are its packages free of known vulnerabilities?",
            "origin": "reported",
            "state": "missing",
            "without_waiver": "missing",
            "measured": "nothing",
            "wanted": "a scan that passed",
            "why": "Nobody has reported a scan of this version's packages yet.",
            "by": "",
            "at": None,
            "age": None,
            "measures": [],
            "evidence": None,
            "stale": None,
            "waived_by": None,
            "waivers": [],
        }
    ],
}
TRANSITION: dict[str, Any] = {
    "id": 1,
    "model": "iris",
    "version": 1,
    "semantic_version": "1.0.0",
    "kind": "promotion",
    "from_stage": "Development",
    "to_stage": "Staging",
    "strategy": "none",
    "emergency": False,
    "status": "finished",
    "reason": "It is better.",
    "policy": 1,
    "requested_by_name": "emil",
    "requested_at": "2026-03-01T09:00:00Z",
    "started_at": "2026-03-01T09:00:00Z",
    "finished_at": "2026-03-01T09:00:03Z",
    "outcome": "",
    "stable": None,
    "previous": None,
    "steps": [],
    "step": 0,
    "step_since": None,
    "asks_person": False,
    "paused_at": None,
    "rollback_requested_at": None,
    "rollback_by_name": "",
    "rollback_reason": "",
    "traffic_back_at": None,
    "reviewed_at": None,
    "reviewed_by_name": "",
    "review": "",
    "waiting_for": "",
    "waiting_until": None,
    "digest": "29045f1532c17de2e8975c605612c1ed12e63ebe3fd005d2412995ffe30b7980",
    "shown": {"artifact": "", "criteria": [], "policy": 1, "strategy": ["none"]},
    "waits_for": [],
    "approvals": [
        {
            "person_name": "mia",
            "roles": ["ml_engineer"],
            "approved": True,
            "reason": "The figures are good.",
            "decided_at": "2026-03-01T09:00:00Z",
            "digest": "29045f1532c17de2e8975c605612c1ed12e63ebe3fd005d2412995ffe30b7980",
            "signed_in_by": "password",
            "expires_at": "2026-03-08T09:00:00Z",
            "voided_at": None,
            "void_reason": "",
            "withdrawn_at": None,
            "withdrawn_reason": "",
        }
    ],
    "bypassed_at": None,
    "bypassed_by_name": "",
    "bypass_reason": "",
    "bypass_missing": [],
    "bypass_reviewed_at": None,
    "bypass_reviewed_by_name": "",
    "bypass_review": "",
    "freeze": None,
    "override_at": None,
    "override_by_name": "",
    "override_reason": "",
    "effects": [
        {
            "kind": "server",
            "summary": "Start a model server for 1.0.0",
            "outcome": "done",
            "attempts": 1,
            "intended_at": "2026-03-01T09:00:00.500000Z",
            "finished_at": "2026-03-01T09:00:01Z",
            "last_error": "",
        }
    ],
}
ENTRY: dict[str, Any] = {
    "id": 9,
    "seq": 9,
    "at": "2026-03-01T09:00:03Z",
    "action": "transition_finished",
    "refused": False,
    "actor": "Stagegate",
    "actor_id": None,
    "actor_roles": [],
    "signed_in_by": "system",
    "address": "",
    "model": "iris",
    "version": 1,
    "semantic_version": "1.0.0",
    "from_stage": "Development",
    "to_stage": "Staging",
    "reason": "",
    "details": {},
    "transition": 1,
    "policy": 1,
    "evidence_digest": "29045f1532c17de2e8975c605612c1ed12e63ebe3fd005d2412995ffe30b7980",
    "previous_hash": "374457e2033b6dedac6cff16bc7eab034c11ba068ea28ae8c1d48d73f942fe12",
    "hash": "42a4a870b9558ace5d5129030446e11bbb9ec77fb942563ba07680c1c7e7a387",
}
PROBLEM = {
    "type": "urn:stagegate:approver",
    "title": "approver",
    "status": 403,
    "detail": "You asked for this transition yourself: somebody else has to approve it.",
    "rule": "approver",
    "instance": "/api/v1/transitions/17/approve/",
}
