"""What is asked of a Prometheus, and what is made of its answers, whoever gives them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from lifecycle.adapters import build, prometheus
from lifecycle.adapters.http import Answer
from lifecycle.adapters.local_metrics import LocalMetrics
from lifecycle.adapters.prometheus import PrometheusMetrics
from lifecycle.domain.policy import MetricQueries
from lifecycle.domain.strategies import Gateway
from lifecycle.ports import Counter, PermanentError, PortError, TemporaryError

Ask = Callable[[str], list[Any]]


def series(value: str, **labels: str) -> dict[str, Any]:
    return {"metric": {name.removeprefix("x"): label for name, label in labels.items()}, "value": [0, value]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, list[Any]]], list[str]]:
    """Prometheus answers to a query with the series of the first of these texts that is in it, else with none."""

    def answering(answers: Mapping[str, list[Any]]) -> list[str]:
        queries: list[str] = []

        def get(url: str, *, timeout: float) -> Answer:
            query = parse_qs(urlsplit(url).query)["query"][0]
            queries.append(query)
            if query == "time()":
                return _answer({"resultType": "scalar", "result": [0, "1700000000.5"]})
            result = next((found for text, found in answers.items() if text in query), [])
            return _answer({"resultType": "vector", "result": result})

        monkeypatch.setattr(prometheus, "get", get)
        return queries

    return answering


def _answer(data: Any) -> Answer:
    return Answer(200, {}, json.dumps({"status": "success", "data": data}))


def read(queries: MetricQueries, *versions: int) -> list[tuple[int, str, str, int, int, float]]:
    readings = PrometheusMetrics("http://prometheus").read("iris", dict.fromkeys(versions or (3,), ""), queries)
    return [
        (each.version, each.counter, each.instance, each.counts.requests, each.counts.errors, each.epoch)
        for each in readings
    ]


@pytest.mark.parametrize(
    ("gateway", "requests", "errors"),
    [
        (
            Gateway.TRAEFIK,
            'traefik_service_requests_total{service=~"iris--v3@.+"}',
            'traefik_service_requests_total{service=~"iris--v3@.+",code=~"5.."}',
        ),
        (
            Gateway.ENVOY,
            'envoy_cluster_upstream_rq_total{envoy_cluster_name=~"(.*[^a-z0-9-])?iris--v3([^0-9].*)?"}',
            'envoy_cluster_upstream_rq_xx{envoy_cluster_name=~"(.*[^a-z0-9-])?iris--v3([^0-9].*)?",'
            'envoy_response_code_class="5"}',
        ),
        (
            Gateway.ISTIO,
            'istio_requests_total{reporter="source",destination_workload="iris--v3"}',
            'istio_requests_total{reporter="source",destination_workload="iris--v3",response_code=~"5.."}',
        ),
    ],
)
def test_each_gateways_counters_have_a_query(asked, gateway: Gateway, requests: str, errors: str) -> None:
    queries = asked({})
    assert read(MetricQueries(gateway=gateway)) == []
    assert {requests, errors} <= set(queries)


def test_counters_are_asked_for_as_they_are() -> None:
    """What extrapolates makes up requests."""
    for query in (*prometheus.REQUESTS.values(), *prometheus.ERRORS.values(), prometheus.SERVERS):
        assert "rate(" not in query
        assert "increase(" not in query


def test_series_of_an_instance_add_up_and_instances_stay_apart(asked) -> None:
    asked(
        {
            'code=~"5.."': [series("2", instance="a:1", job="t", code="500")],
            "traefik": [
                series("10", instance="a:1", job="t", code="200"),
                series("2", instance="a:1", job="t", code="500"),
                series("7", instance="b:1", job="t", code="200", pod="p"),
            ],
            "process_start_time_seconds{": [
                series("1600.5", instance="a:1", job="t"),
                series("9", instance="a:1", job="another"),
            ],
        }
    )
    assert sorted(read(MetricQueries())) == [
        (3, Counter.GATEWAY, "instance=a:1,job=t", 12, 2, 1600.5),
        (3, Counter.GATEWAY, "instance=b:1,job=t,pod=p", 7, 0, 0.0),
    ]


def test_a_version_of_which_a_gateway_says_nothing_is_read_as_nothing(asked) -> None:
    asked({'code=~"5.."': [], "iris--v3@": [series("10", instance="a:1")]})
    assert sorted(read(MetricQueries(), 3, 4)) == [
        (3, Counter.GATEWAY, "instance=a:1", 10, 0, 0.0),
        (4, Counter.GATEWAY, "instance=a:1", 0, 0, 0.0),
    ]


def test_where_a_query_leaves_nobody_to_tell_apart_there_is_one_instance(asked) -> None:
    queries = asked({"my_requests": [series("5"), series("6", code="200")]})
    assert read(MetricQueries(requests='my_requests{m="{slug}",v="{version}"}')) == [
        (3, Counter.GATEWAY, "", 11, 0, 0.0)
    ]
    assert 'my_requests{m="iris",v="3"}' in queries


def test_a_long_instance_fits_the_table_and_stays_itself(asked) -> None:
    pods = ("p" * 300, "p" * 299 + "q")
    asked({"traefik": [series("1", instance="a:1", pod=pod) for pod in pods]})
    instances = {each[2] for each in read(MetricQueries())}
    assert len(instances) == 2
    assert all(len(each) <= prometheus.MAX_INSTANCE for each in instances)


def test_names_of_targets_break_out_of_no_query(asked) -> None:
    queries = asked({"traefik": [series("1", instance='a"} or vector(1) #.\\')]})
    read(MetricQueries())
    (started,) = [query for query in queries if query.startswith("process_start")]
    assert started == r'process_start_time_seconds{instance=~"a\"\\}\\ or\\ vector\\(1\\)\\ \\#\\.\\\\"}'


def test_the_servers_own_labels_come_back_where_the_scrape_pushed_them_aside(asked) -> None:
    about = {"instance": "s:1", "slug": "iris", "version": "3"}
    name = "stagegate_feature_category_total"
    asked(
        {
            "stagegate_": [
                series("4", **about, x__name__=name, feature='a "b"\n\\', category="x", exported_job="c"),
                series("5", **about, x__name__="process_start_time_seconds"),
                series("6", **about, x__name__="stagegate_predictions_total", xclass="setosa"),
            ]
        }
    )
    (reading,) = PrometheusMetrics("http://prometheus").read("iris", {3: ""}, MetricQueries())
    assert (reading.counter, reading.instance, reading.epoch) == (Counter.SERVER, "instance=s:1", 5.0)
    assert reading.counts.features['a "b"\n\\'].categories == ("x",)
    assert reading.counts.prediction is not None
    assert reading.counts.prediction.categories == ("setosa",)


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        (Answer(200, {}, "<html>"), TemporaryError, "not in its format"),
        (Answer(200, {}, "[]"), TemporaryError, "not in its format"),
        (Answer(503, {}, '{"status": "error", "error": "starting"}'), TemporaryError, "answers 503 .* starting"),
        (Answer(400, {}, '{"status": "error", "error": "parse error"}'), PermanentError, "refuses “time.*parse error"),
        (_answer({"resultType": "scalar", "result": []}), TemporaryError, "what time"),
    ],
)
def test_an_answer_that_is_none_says_so(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, error: type[PortError], why: str
) -> None:
    monkeypatch.setattr(prometheus, "get", lambda url, timeout: answer)
    with pytest.raises(error, match=why):
        read(MetricQueries())


@pytest.mark.parametrize(
    ("found", "error", "why"),
    [
        ([{"metric": {}, "histogram": [0, {}]}], PermanentError, "plain numbers"),
        ([series("NaN")], TemporaryError, "no count"),
        ([series("+Inf")], TemporaryError, "no count"),
        ([series("-1")], PermanentError, "below 0"),
    ],
)
def test_what_is_no_count_is_refused_with_the_query(asked, found, error: type[PortError], why: str) -> None:
    asked({"mine": found})
    with pytest.raises(error, match=f"{why}.*mine"):
        read(MetricQueries(requests="mine{version}"))


@pytest.mark.parametrize(
    ("found", "why"),
    [([series("1", le="0.5")], "bucket"), ([series("1")], "no buckets"), ([series("1", le="x")], "no")],
)
def test_a_latency_query_has_to_give_buckets(asked, found, why: str) -> None:
    asked({"mine": found})
    with pytest.raises(PermanentError, match=f"{why}.*mine"):
        read(MetricQueries(latency="mine{version}"))


@pytest.mark.parametrize(("url", "kind"), [("", LocalMetrics), ("http://prometheus:9090", PrometheusMetrics)])
def test_it_is_used_where_the_settings_name_it(settings: Any, url: str, kind: type) -> None:
    settings.PROMETHEUS_URL = url
    assert isinstance(build.metrics(), kind)
