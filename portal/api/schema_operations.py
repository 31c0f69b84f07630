"""What the API does, operation by operation, in the order of a person's work: one line of documentation an address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import Stage
from lifecycle.models import NoticeState
from lifecycle.queries_models import NOBODY, Sort
from portal.accounts.people import KINDS
from portal.api import (
    approvals,
    freezes,
    live,
    notices,
    people,
    policies,
    retention,
    rollouts,
    schema_shapes,
    status,
    version_search,
    versions,
    views,
)
from portal.api import schema_examples as examples
from portal.api import serializers as rows
from portal.api.schema_class import Operation

MODELS = "Models and versions"
EVIDENCE = "Evidence and gates"
TRANSITIONS = "Transitions and approvals"
ROLLOUTS = "Rollouts"
ROLLBACKS = "Rolling back"
TRAFFIC = "What is live"
POLICIES = "Policies"
FREEZES = "Freezes"
PEOPLE = "People and teams"
RETENTION = "Retention"
RECORD = "The record"
MACHINES = "For machines"
TAGS: Mapping[str, str] = {
    MODELS: "What the registry holds, and how two versions differ.",
    EVIDENCE: "What speaks for and against a version, and the gate that weighs it.",
    TRANSITIONS: "Asking for a change of stage, and deciding on it. Nobody approves what they have asked for.",
    ROLLOUTS: "Where a rollout stands, and steering it.",
    ROLLBACKS: "Back to the version before: at once, or gracefully.",
    TRAFFIC: "Which version answers, or answered, which share of the requests.",
    POLICIES: "Criteria, thresholds, schedules and retention: numbered, and never edited in place.",
    FREEZES: "Times in which no change is carried out.",
    RETENTION: "What is going to be deleted, and holds that keep a version.",
    RECORD: "Who did what, when and why.",
    PEOPLE: "Who has an account, which roles they have, and which team owns which model.",
    MACHINES: "What other programs send, and this document.",
}
STAGES = [stage.value for stage in Stage]


def _query(name: str, description: str, kind: Any = str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description, **more)


def _transition(id: str, tag: str, summary: str, status: int = 200, **more: Any) -> Operation:
    """One that answers with a transition."""
    usual: dict[str, Any] = {"takes": rows.ReasonSerializer, "example": examples.REASON}
    return Operation(id, tag, summary, {status: rows.TransitionSerializer}, **{**usual, **more})


def _rollout(id: str, summary: str, status: int = 200, **more: Any) -> Operation:
    """One that answers with a rollout."""
    usual: dict[str, Any] = {"takes": rollouts.SteerSerializer, "example": examples.STEER}
    return Operation(id, ROLLOUTS, summary, {status: schema_shapes.Rollout}, **{**usual, **more})


RECORD_FILTERS = (
    _query("model", "The model's exact name."),
    _query("version", "MLflow's number.", int),
    _query("actor", "Whoever did it, by the name that the record has."),
    _query("action", "What was done, as in `action`."),
    _query("refused", "Only what was refused, or only what was carried out.", enum=["true", "false"]),
    _query("since", "From this time on, in ISO 8601.", OpenApiTypes.DATETIME),
    _query("until", "Before this time, in ISO 8601.", OpenApiTypes.DATETIME),
    _query("transition", "Only what belongs to this transition.", int),
)


MODEL_FILTERS = (
    _query("search", "Words that all occur in its name, its description or the values of its tags, in any case."),
    _query("stage", "Only models with a version in this stage.", enum=STAGES),
    _query("tag", "Only models with this tag: a key, or `key:value`. Give it again for another one.", many=True),
    _query("team", f"Only models of this team, by its slug; `{NOBODY}` for those that no team owns."),
    _query("framework", "Only models whose newest version is made with it."),
    _query("under_way", "Only models of which a transition waits or runs.", enum=["yes"]),
    _query("unhealthy", "Only models that fail in Production, or are not as Stagegate left them.", enum=["yes"]),
    _query(
        "sort",
        "By name, by when the newest version was registered, or by the number of versions; `-` turns it around.",
        enum=[sort.value for sort in Sort],
        default=Sort.NAME.value,
    ),
)


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    # ---------------------------------------------------------------- models and versions
    ("api-models", "GET"): Operation(
        "listModels",
        MODELS,
        "List registered models",
        {200: rows.ModelSerializer(many=True)},
        "In pages. Models that MLflow has lost are not listed.",
        query=MODEL_FILTERS,
        answer=examples.MODEL,
    ),
    ("api-model", "GET"): Operation(
        "getModel",
        MODELS,
        "One registered model",
        {200: schema_shapes.ModelDetail},
        "With the variants that serve it, its newest hundred versions, and where the world disagrees with the record.",
    ),
    ("api-version", "GET"): Operation(
        "getVersion", MODELS, "One model version", {200: rows.VersionSerializer}, answer=examples.VERSION
    ),
    ("api-semantic-version", "GET"): Operation(
        "getSemanticVersion",
        MODELS,
        "Whether a version's number says truly how much changed",
        {200: schema_shapes.SemanticVersion},
        "With the changes of the signature since the version before, at most a thousand of them.",
    ),
    ("api-semantic-version", "POST"): Operation(
        "acceptSemanticVersion",
        MODELS,
        "Give a version the proposed number",
        {200: schema_shapes.SemanticVersion},
        "Only the proposal itself is taken: it is worked out afresh first.",
        takes=versions.AcceptSerializer,
        refuses=(503,),
        example={"semantic_version": "1.3.0"},
    ),
    ("api-compare", "GET"): Operation(
        "compareVersions",
        MODELS,
        "Two versions side by side",
        {200: schema_shapes.Comparison},
        "What the judge measured live, and what differs offline: metrics, parameters, tags, signature.",
        query=(
            _query("stable", "MLflow's number. Without it: the version that serves Production.", int),
            _query("canary", "MLflow's number. Without it: the version beside it.", int),
        ),
        refuses=(409, 422),
    ),
    # ---------------------------------------------------------------- evidence and gates
    ("api-evidence", "GET"): Operation(
        "listEvidence",
        EVIDENCE,
        "List the evidence for a version",
        {200: rows.EvidenceSerializer(many=True)},
        "Newest first.",
        answer=examples.EVIDENCE,
    ),
    ("api-evidence", "POST"): Operation(
        "recordEvidence",
        EVIDENCE,
        "Report evidence for or against a criterion",
        {201: rows.EvidenceSerializer, 200: rows.EvidenceSerializer},
        "200 instead of 201: the same report came a moment ago, and nothing was added.",
        takes=rows.EvidenceRequestSerializer,
        example=examples.EVIDENCE_REQUEST,
        answer=examples.EVIDENCE,
    ),
    ("api-gate", "GET"): Operation(
        "getGate",
        EVIDENCE,
        "The gate of a stage change",
        {200: schema_shapes.Gate},
        "Every criterion, with what was found. It is as the policy in force says, or of the transition under way.",
        query=(_query("to", "The stage it leads to. Without it: the next one.", enum=STAGES[1:]),),
        answer=examples.GATE,
    ),
    ("api-waivers", "GET"): Operation(
        "listWaivers",
        EVIDENCE,
        "List the waivers of a version",
        {200: rows.WaiverSerializer(many=True)},
        "Newest first, revoked and expired ones too.",
    ),
    ("api-waivers", "POST"): Operation(
        "grantWaiver",
        EVIDENCE,
        "Let a failed or missing criterion pass",
        {201: rows.WaiverSerializer},
        "Give either `days` or `expires_at`.",
        takes=rows.WaiverRequestSerializer,
        example=examples.WAIVER_REQUEST,
    ),
    ("api-revoke-waiver", "POST"): Operation(
        "revokeWaiver",
        EVIDENCE,
        "Revoke a waiver",
        {200: rows.WaiverSerializer},
        takes=rows.ReasonSerializer,
        example=examples.REASON,
    ),
    ("api-checks", "GET"): Operation(
        "listChecks", EVIDENCE, "List the checks of a version", {200: rows.CheckSerializer(many=True)}, "Newest first."
    ),
    ("api-checks", "POST"): Operation(
        "startCheck",
        EVIDENCE,
        "Have Stagegate check a criterion",
        {202: rows.CheckSerializer},
        "A worker takes it up; follow it in the list of checks.",
        takes=rows.CheckRequestSerializer,
        example={"criterion": "load_test"},
    ),
    ("api-cancel-check", "POST"): Operation("cancelCheck", EVIDENCE, "Cancel a check", {200: rows.CheckSerializer}),
    # ---------------------------------------------------------------- transitions
    ("api-transitions", "POST"): _transition(
        "requestTransition",
        TRANSITIONS,
        "Ask for a change of stage",
        201,
        description="Refused with `closed_by` while the gate is closed, and while the model has another transition.",
        takes=rows.TransitionRequestSerializer,
        refuses=(503,),
        example=examples.TRANSITION_REQUEST,
    ),
    ("api-transitions", "GET"): Operation(
        "listTransitions",
        TRANSITIONS,
        "List transitions",
        {200: rows.TransitionSerializer(many=True)},
        "Newest first. `waiting_for=me`: those that you can decide on.",
        query=(views.TransitionFilters,),
    ),
    ("api-inbox", "GET"): Operation(
        "getInbox",
        TRANSITIONS,
        "What waits for you",
        {200: approvals.InboxSerializer},
        "Oldest first, at most a hundred of each kind, and what you wait for yourself.",
    ),
    ("api-transition", "GET"): Operation(
        "getTransition",
        TRANSITIONS,
        "One transition",
        {200: rows.TransitionSerializer},
        "With its approvals and the journal of its effects.",
        answer=examples.TRANSITION,
    ),
    ("api-approve", "POST"): _transition(
        "approveTransition",
        TRANSITIONS,
        "Approve a transition",
        description="A yes is bound to what was shown: send its `digest`, and a yes to anything else is refused. "
        "Whoever asked for the transition cannot give it, and neither can a token.",
        takes=rows.ApproveSerializer,
        refuses=(503,),
    ),
    ("api-take-back", "POST"): _transition(
        "takeBackApproval", TRANSITIONS, "Take back your approval", description="As long as nothing has begun."
    ),
    ("api-bypass", "POST"): _transition(
        "bypassApprovals",
        TRANSITIONS,
        "Go on without the missing approvals, in an emergency",
        description="It is flagged until somebody has reviewed it.",
    ),
    ("api-review-bypass", "POST"): _transition(
        "reviewBypass",
        TRANSITIONS,
        "Review a bypass",
        description="By somebody who took no part in it. `reason` is the review.",
    ),
    ("api-override-freeze", "POST"): _transition(
        "overrideFreeze", TRANSITIONS, "Let a transition go on although a freeze holds it"
    ),
    ("api-reject", "POST"): _transition(
        "rejectTransition", TRANSITIONS, "Reject a transition", description="A single no ends it."
    ),
    ("api-cancel", "POST"): _transition(
        "cancelTransition", TRANSITIONS, "Cancel a transition", description="As long as it is not being carried out."
    ),
    # ---------------------------------------------------------------- rollouts
    ("api-rollout", "GET"): Operation(
        "getRollout",
        ROLLOUTS,
        "Where a rollout stands",
        {200: schema_shapes.Rollout},
        "Its steps, what it waits for, and the latest verdict with what was measured.",
    ),
    ("api-rollout-pause", "POST"): _rollout(
        "pauseRollout", "Pause a rollout", description="The weights stay as they are. A breach still rolls back."
    ),
    ("api-rollout-resume", "POST"): _rollout("resumeRollout", "Resume a paused rollout"),
    ("api-rollout-skip", "POST"): _rollout(
        "skipStep", "Go on to the next step at once", description="Without waiting for its time or its verdict."
    ),
    ("api-rollout-promote", "POST"): _rollout(
        "promoteRollout", "Give the new version all requests at once", description="The steps between are left out."
    ),
    ("api-rollout-continue", "POST"): _rollout("continueRollout", "Let a step that asks for a person go on"),
    ("api-rollout-abort", "POST"): _rollout(
        "abortRollout",
        "Abort a rollout",
        202,
        description="The requests come back at once, the registry follows.",
        takes=rows.ReasonSerializer,
        example=examples.REASON,
    ),
    # ---------------------------------------------------------------- rolling back
    ("api-rollback", "POST"): _transition(
        "rollBack",
        ROLLBACKS,
        "Roll back to the version before",
        202,
        description="`emergency` moves all requests at once, `graceful` in steps. `to_version` names another version "
        "that was in Production; `stop` takes the model out of service where there is nothing to go back to.",
        takes=rows.RollbackSerializer,
        example=examples.ROLLBACK_REQUEST,
    ),
    ("api-drill", "POST"): _transition(
        "drillRollback",
        ROLLBACKS,
        "Practise a rollback",
        202,
        description="Moves the requests to the version before and back again, and changes no stage.",
        takes=rows.DrillSerializer,
    ),
    ("api-reconcile", "POST"): _transition(
        "reconcile",
        ROLLBACKS,
        "Put right what somebody else changed",
        202,
        description="Stages, aliases and weights that are not what the record says.",
    ),
    ("api-withdraw-version", "POST"): _transition("withdrawVersion", ROLLBACKS, "Take a version out of Staging", 202),
    ("api-review", "POST"): _transition(
        "reviewRollback",
        ROLLBACKS,
        "Review an emergency rollback",
        description="By somebody else than whoever rolled back. `reason` is the review.",
    ),
    # ---------------------------------------------------------------- what is live
    ("api-live", "GET"): Operation(
        "getLive",
        TRAFFIC,
        "Which version served what share",
        {200: live.LiveSerializer},
        "Now, or at any time before, from the record alone.",
        query=(
            _query("at", "A moment in ISO 8601; without a zone it is UTC. Left out, it is now.", OpenApiTypes.DATETIME),
        ),
        refuses=(422,),
        answer=live.EXAMPLE,
    ),
    ("api-versions", "GET"): Operation(
        "searchVersions",
        TRAFFIC,
        "Search model versions of all models",
        {200: version_search.FoundSerializer(many=True)},
        "By MLflow's filters, such as `tags.environment = 'production'`; with who brought each to its stage.",
        query=(_query("filter", version_search.FILTER),),
        refuses=(422,),
    ),
    ("api-business-metrics", "POST"): Operation(
        "reportBusinessMetrics",
        TRAFFIC,
        "Report a business metric of a version that serves",
        {201: schema_shapes.Reported, 200: schema_shapes.Reported},
        "One report, or a list of them; all are counted or none. 200: all were counted before. Here the idempotency "
        "key is kept with the reports and for as long, so a repeated report is answered with 200 and not counted.",
        takes=schema_shapes.BusinessReport,
        example=examples.BUSINESS_REPORT,
        answer={"counted": 1, "repeated": 0},
    ),
    # ---------------------------------------------------------------- policies
    ("api-policies", "GET"): Operation(
        "listPolicies",
        POLICIES,
        "List policies",
        {200: schema_shapes.PolicyListed(many=True)},
        "Every number there has been, newest first.",
        query=(_query("model", "Only those of this model."),),
    ),
    ("api-policies", "POST"): Operation(
        "changePolicy",
        POLICIES,
        "Put a new policy in force",
        {201: schema_shapes.Policy},
        "Give either `yaml` or `values`; what is not given keeps its default. What is wrong is told line by line in "
        "`problems`. With `expected_number`, a policy that somebody else has changed meanwhile is left alone.",
        takes=schema_shapes.PolicyRequest,
        example=examples.POLICY_REQUEST,
    ),
    ("api-policy", "GET"): Operation(
        "getPolicy",
        POLICIES,
        "One policy",
        {200: schema_shapes.Policy},
        "As YAML with `?format=yaml`: the file that can be sent back.",
    ),
    ("api-withdraw-policy", "POST"): Operation(
        "withdrawPolicy",
        POLICIES,
        "Withdraw a model's own policy",
        {201: schema_shapes.Policy},
        "From then on the model follows the policy of all models again.",
        takes=policies.WithdrawalRequest,
        example={"model": "iris", "reason": "It follows the others again."},
    ),
    # ---------------------------------------------------------------- freezes
    ("api-freezes", "GET"): Operation(
        "listFreezes",
        FREEZES,
        "List freezes",
        {200: freezes.FreezeSerializer(many=True)},
        "Newest first, removed ones too.",
    ),
    ("api-freezes", "POST"): Operation(
        "planFreeze",
        FREEZES,
        "Plan a freeze",
        {201: freezes.FreezeSerializer},
        "Of one model, of a team's models, or, with neither, of all. Rollbacks are never held.",
        takes=freezes.FreezeRequestSerializer,
        example=examples.FREEZE_REQUEST,
    ),
    ("api-freeze", "GET"): Operation("getFreeze", FREEZES, "One freeze", {200: freezes.FreezeSerializer}),
    ("api-remove-freeze", "POST"): Operation(
        "removeFreeze",
        FREEZES,
        "Remove a freeze",
        {200: freezes.FreezeSerializer},
        "What it holds goes on at once.",
        takes=rows.ReasonSerializer,
        example=examples.REASON,
    ),
    # ---------------------------------------------------------------- retention
    ("api-retention", "GET"): Operation(
        "getRetention",
        RETENTION,
        "What is going to be deleted, and when",
        {200: schema_shapes.Retention},
        "Soonest first, a hundred a page; what is stuck; the last clean-up.",
        query=(_query("page", "Counts from 1. The answer's `next_page` names the next one.", int),),
    ),
    ("api-clean-up", "POST"): Operation(
        "startCleanUp",
        RETENTION,
        "Delete now what is due",
        {202: retention.CleanUpSerializer},
        "Versions whose retention is over, that nothing protects and nobody holds. It cannot be undone.",
        takes=rows.ReasonSerializer,
        example=examples.REASON,
    ),
    ("api-place-hold", "POST"): Operation(
        "placeHold",
        RETENTION,
        "Keep a version from deletion",
        {201: retention.HoldSerializer},
        takes=rows.ReasonSerializer,
        example=examples.REASON,
    ),
    ("api-release-hold", "POST"): Operation(
        "releaseHold",
        RETENTION,
        "Release a hold",
        {200: retention.HoldSerializer},
        takes=rows.ReasonSerializer,
        example=examples.REASON,
    ),
    # ---------------------------------------------------------------- the record
    ("api-record", "GET"): Operation(
        "listRecord",
        RECORD,
        "Read the record",
        {200: rows.AuditSerializer(many=True)},
        "Newest first. What was refused stands in it too.",
        query=RECORD_FILTERS,
        answer=examples.ENTRY,
    ),
    ("api-export-record", "GET"): Operation(
        "exportRecord",
        RECORD,
        "Take the record out",
        {(200, "application/jsonl"): OpenApiTypes.STR, (200, "text/csv"): OpenApiTypes.STR},
        "Oldest entry first, streamed: an answer that was cut off lacks its end. JSON lines are for verification: each "
        "is the canonical form of what the entry's hash is computed over, and the hash. CSV is for reading: what a "
        "spreadsheet would run as a formula has an apostrophe in front. The export is recorded before anything is "
        "handed out, and holds the entries before that one.",
        query=(
            _query("format", "", enum=["csv", "jsonl"], required=True),
            _query("reason", "What it is for; at most 2,000 characters.", required=True),
            *RECORD_FILTERS,
        ),
        refuses=(422,),
    ),
    # ---------------------------------------------------------------- people
    ("api-people", "GET"): Operation(
        "listPeople",
        PEOPLE,
        "List accounts",
        {200: people.PersonSerializer(many=True)},
        "By user name.",
        query=(
            _query("search", "Words of a user name, a name or an e-mail address."),
            _query("kind", "Only accounts of this kind.", enum=list(KINDS)),
            _query("role", "Only those who have this role.", enum=[role.value for role in Role]),
        ),
    ),
    ("api-people", "POST"): Operation(
        "addPerson",
        PEOPLE,
        "Add an account",
        {201: people.PersonSerializer},
        "Without a password and without roles.",
        takes=people.NewPersonSerializer,
        example=examples.NEW_PERSON,
    ),
    ("api-person", "GET"): Operation("getPerson", PEOPLE, "One account with its roles", {200: people.PersonSerializer}),
    ("api-person", "PATCH"): Operation(
        "changePerson",
        PEOPLE,
        "Change an account",
        {200: people.PersonSerializer},
        "What is left out stays as it is. Whoever is not active is signed out at once, and their tokens open nothing.",
        takes=people.PersonChangeSerializer,
        example={"active": False, "reason": "Has left."},
    ),
    ("api-give-role", "POST"): Operation(
        "giveRole",
        PEOPLE,
        "Give a role",
        {200: people.PersonSerializer},
        "For the models of one team, or, without one, for all models.",
        takes=people.RoleChangeSerializer,
        example=examples.ROLE_CHANGE,
    ),
    ("api-take-role", "POST"): Operation(
        "takeRole",
        PEOPLE,
        "Take a role away",
        {200: people.PersonSerializer},
        takes=people.RoleChangeSerializer,
        example=examples.ROLE_CHANGE,
    ),
    ("api-teams", "GET"): Operation(
        "listTeams", PEOPLE, "List teams", {200: people.TeamSerializer(many=True)}, "By address."
    ),
    ("api-teams", "POST"): Operation(
        "addTeam",
        PEOPLE,
        "Add a team",
        {201: people.TeamDetailSerializer},
        takes=people.NewTeamSerializer,
        example=examples.TEAM,
    ),
    ("api-team", "GET"): Operation(
        "getTeam", PEOPLE, "A team with its people and its models", {200: people.TeamDetailSerializer}
    ),
    ("api-team", "PATCH"): Operation(
        "renameTeam",
        PEOPLE,
        "Give a team another name",
        {200: people.TeamDetailSerializer},
        "Its address stays.",
        takes=people.NewTeamSerializer,
        example=examples.TEAM,
    ),
    ("api-model-team", "GET"): Operation("getOwner", PEOPLE, "Which team owns a model", {200: people.OwnerSerializer}),
    ("api-model-team", "POST"): Operation(
        "setOwner",
        PEOPLE,
        "Give a model to a team",
        {200: people.OwnerSerializer},
        "With null: to nobody, and then the roles for all models are what counts.",
        takes=people.OwnerChangeSerializer,
        example={"team": "botany", "reason": "They look after it."},
    ),
    # ---------------------------------------------------------------- for machines
    ("api-notices", "GET"): Operation(
        "listNotices",
        MACHINES,
        "What has become of notices",
        {200: notices.NoticeSerializer(many=True)},
        "To people and channels, newest first; no address is shown.",
        query=(_query("state", "Only those in this state.", enum=[state.value for state in NoticeState]),),
    ),
    ("api-status", "GET"): Operation(
        "getStatus",
        MACHINES,
        "How every part of the system is",
        {200: status.SystemSerializer},
        "Since when, and what to do; at most about ten seconds old.",
        answer=status.EXAMPLE,
    ),
    ("api-schema", "GET"): Operation(
        "getSchema",
        MACHINES,
        "This document",
        {200: OpenApiTypes.OBJECT},
        "OpenAPI 3.1 as JSON; as YAML with `?format=yaml`.",
    ),
}
