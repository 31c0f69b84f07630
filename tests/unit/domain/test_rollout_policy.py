"""What a policy says about rollouts: ranges, words, and hints for what is nearly right."""

import pytest

from lifecycle.domain.permissions import Role
from lifecycle.domain.policy import Policy, PolicyError, dump, load
from lifecycle.domain.strategies import BreachAction, Sticky, Strategy


def test_the_defaults_are_those_of_the_lifecycle_strategy():
    policy = Policy()
    assert [(step.weight, step.minimum.total_seconds() / 3600, step.requests) for step in policy.canary_steps] == [
        (5, 1, 500), (25, 2, 500), (50, 4, 500), (100, 0, 0)
    ]  # fmt: skip
    assert policy.rollout.strategy == Strategy.CANARY
    assert (policy.rollout.sticky, policy.comparison.on_latency) == (Sticky.NONE, BreachAction.HOLD)
    assert policy.comparison.confidence == 99


def test_a_step_may_ask_for_a_person():
    steps = [{"weight": 5, "minimum": "1h", "requests": 2000, "asks": "product_owner"}, {"weight": 100, "minimum": 0}]
    loaded = load({"canary_steps": steps})
    assert loaded.canary_steps[0].asks == Role.PRODUCT_OWNER
    assert load(dump(loaded)) == loaded
    assert "asks" not in dump(loaded)["canary_steps"][1]


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ({"rollout": {"strategy": "blue-green"}}, ("rollout", "strategy"), "Did you mean blue_green?"),
        ({"rollout": {"sticky": "ip"}}, ("rollout", "sticky"), "none, cookie, header"),
        ({"rollout": {"sticky_name": "a b"}}, ("rollout", "sticky_name"), "the name of a cookie or a header"),
        ({"rollout": {"patience": "0s"}}, ("rollout", "patience"), "longer than 0 seconds"),
        ({"rollout": {"shadow_agreement": 101}}, ("rollout", "shadow_agreement"), "out of range"),
        ({"rollout": {"shadow_tolerance": 2}}, ("rollout", "shadow_tolerance"), "0, 0.1, 1, 5 or 20 percent"),
        ({"comparison": {"confidence": 50}}, ("comparison", "confidence"), "from 80 to 99.99"),
        ({"comparison": {"on_latency": "ignore"}}, ("comparison", "on_latency"), "hold, roll_back"),
        ({"metrics": {"requests": "sum(up)"}}, ("metrics", "requests"), "{version}"),
        ({"metrics": {"gateway": "nginx"}}, ("metrics", "gateway"), "traefik, envoy, istio"),
        (
            {"canary_steps": [{"weight": 100, "minimum": 0, "asks": "auditor"}]},
            ("canary_steps", 0, "asks"),
            "the roles that may approve",
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_is(body, path, message):
    with pytest.raises(PolicyError) as refused:
        load(body)
    (problem,) = refused.value.problems
    assert problem.path == path
    assert message in problem.message
