"""The jobs in the documentation: their YAML parses, and what their scripts send is what the API takes.

The scripts run as they stand, in a shell, with a ``curl`` that writes down what it was asked to send.
"""

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from django.test import Client

from lifecycle.domain.permissions import Action
from lifecycle.models import Evidence
from portal.accounts.tokens import Wanted, create_for_service

ROOT = Path(__file__).parents[3]
PAGES = ("README.md", "docs/CI.md")
CURL = """\
import json, os, sys
with open(os.environ["SENT"], "a") as file:
    print(json.dumps({"arguments": sys.argv[1:], "config": sys.stdin.read()}), file=file)
"""
WITH_A_VALUE = {"--retry", "--config", "--header", "--data"}


def jobs(page):
    """The jobs that a page shows, by their blocks of YAML."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return [yaml.safe_load(block) for block in blocks]


@pytest.fixture
def run(world, tmp_path):
    """Run a script; the requests that its curl was to send, each as path, headers and body."""
    wanted = Wanted("docs", frozenset({Action.RECORD_EVIDENCE}), world.now + timedelta(days=1), "The docs say so.")
    token = create_for_service(account="ci", wanted=wanted, actor=world.people["ada"], now=world.now).text
    (tmp_path / "curl.py").write_text(CURL)
    (tmp_path / "curl").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/curl.py" "$@"\n')
    (tmp_path / "curl").chmod(0o755)

    def go(shell, script, variables):
        sent = tmp_path / "sent"
        sent.write_text("")
        settings = {"STAGEGATE_TOKEN": token, "STAGEGATE_URL": "https://stagegate.example", "SENT": str(sent)}
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        subprocess.run([shell, "-e", "-c", script], env={**path, **settings, **variables}, check=True, timeout=20)
        return [request(json.loads(line)) for line in sent.read_text().splitlines()]

    return go


def request(curl):
    arguments = iter(curl["arguments"])
    plain, headers, body = [], [re.fullmatch(r'header = "(.*)"', curl["config"]).group(1)], ""
    for argument in arguments:
        value = next(arguments) if argument in WITH_A_VALUE else ""
        headers += [value] if argument == "--header" else []
        body = value if argument == "--data" else body
        plain.append(argument)
    assert {"--fail-with-body", "--retry", "--retry-all-errors"} < set(plain)
    return urlsplit(plain[-1]).path, dict(header.split(": ", 1) for header in headers), body


def deliver(sent):
    """Post what was sent, as it was; the criteria that are on record then."""
    for path, headers, body in sent:
        kind = headers.pop("Content-Type")
        response = Client(enforce_csrf_checks=True).post(path, body, content_type=kind, headers=headers)
        assert response.status_code == 201, response.json()
    rows = Evidence.objects.order_by("id").values_list("criterion", "passed", "url", "origin")
    return list(rows)


def test_github(world, run):
    (flow,) = [each for each in jobs("docs/CI.md") if "jobs" in each]
    (step,) = [each for each in flow["jobs"]["evidence"]["steps"] if "curl" in each.get("run", "")]
    url = "https://github.example/runs/1"
    outcomes = {"UNIT_TESTS": "success", "INTEGRATION_TESTS": "failure", "SECURITY_SCAN": "skipped"}
    given = {"MODEL": "iris", "VERSION": "1", "RUN_URL": url, **outcomes}
    assert set(step["env"]) == {*given, "STAGEGATE_URL", "STAGEGATE_TOKEN"}
    rows = deliver(run("bash", step["run"], given))
    assert rows == [("unit_tests", True, url, "ci"), ("integration_tests", False, url, "ci")]


def test_github_names_the_steps_that_it_reports():
    (flow,) = [each for each in jobs("docs/CI.md") if "jobs" in each]
    *steps, report = flow["jobs"]["evidence"]["steps"]
    named = [step["id"] for step in steps if "id" in step]
    assert named == ["unit_tests", "integration_tests", "security_scan"]
    for name in named:
        assert f"steps.{name}.outcome" in report["env"][name.upper()]
        assert f'report {name} "${name.upper()}"' in report["run"]


@pytest.mark.parametrize(("status", "passed"), [("success", [True]), ("failed", [False]), ("canceled", [])])
@pytest.mark.parametrize("criterion", ["unit_tests", "integration_tests", "security_scan"])
def test_gitlab(world, run, criterion, status, passed):
    (flow,) = [each for each in jobs("docs/CI.md") if ".evidence" in each]
    assert flow[criterion]["extends"] == ".evidence"
    base = flow[".evidence"]
    given = {**base["variables"], "MODEL": "iris", "CI_JOB_NAME": criterion, "CI_JOB_STATUS": status}
    script = "\n".join(base["after_script"])
    rows = deliver(run("sh", script, {**given, "CI_JOB_URL": "https://gitlab.example/jobs/1"}))
    assert [(row[0], row[1]) for row in rows] == [(criterion, outcome) for outcome in passed]


@pytest.mark.parametrize(("status", "passed"), [("success", True), ("failed", False)])
def test_the_readme(world, run, status, passed):
    github, gitlab = jobs("README.md")
    step = github["jobs"]["unit_tests"]["steps"][-1]
    version = "/api/v1/models/iris/versions/1"
    given = {"VERSION_URL": f"https://stagegate.example{version}", "RUN_URL": "https://github.example/runs/1"}
    assert set(step["env"]) == {*given, "OUTCOME", "STAGEGATE_TOKEN"}
    sent = run("bash", step["run"], {**given, "OUTCOME": "passed" if passed else "failed"})
    script = "\n".join(gitlab["unit_tests"]["after_script"]).replace("iris-random-forest", "iris")
    job = {"CI_JOB_STATUS": status, "CI_JOB_URL": "https://gitlab.example/jobs/1", "MODEL_VERSION": "2"}
    sent += run("sh", script, job)
    assert [row[:2] for row in deliver(sent)] == [("unit_tests", passed)] * 2


@pytest.mark.parametrize("page", PAGES)
def test_no_token_stands_where_other_processes_could_read_it(page):
    """A command's arguments are visible to everybody on its machine."""
    text = (ROOT / page).read_text()
    assert "curl" in text
    assert not re.search(r"(--header|-H|--oauth2-bearer)[^\n]*STAGEGATE_TOKEN", text)
