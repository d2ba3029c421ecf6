"""Alert and recording rules: promtool checks them and plays their stories; each alert tells a reader what to do."""

import re
import subprocess

import pytest
import yaml
from manifests import ROOT

RULES = ROOT / "deploy/prometheus/rules.yml"
STORIES = ROOT / "tests/deploy/rules_test.yml"
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
every_alert = pytest.mark.parametrize("alert", ALERTS)


def promtool(*arguments):
    ended = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_promtool_accepts_the_rules():
    promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_promtool_accepts_the_configuration():
    promtool("check", "config", ROOT / "deploy/prometheus/prometheus.yml")


def test_alerts_fire_when_they_should():
    promtool("test", "rules", STORIES)


@every_alert
def test_every_alert_has_a_story_and_a_near_miss(alert):
    cases = [case for story in yaml.safe_load(STORIES.read_text())["tests"] for case in story["alert_rule_test"]]
    fires = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == alert]

    assert True in fires
    assert False in fires


@every_alert
def test_every_alert_says_how_urgent_it_is_and_leads_to_its_paragraph(alert):
    runbook = (ROOT / "deploy/runbook.md").read_text()
    headings = re.findall(r"^## (\w+)$", runbook, re.MULTILINE)

    assert ALERTS[alert]["labels"]["severity"] in ("page", "ticket")
    assert ALERTS[alert]["annotations"]["summary"]
    assert ALERTS[alert]["annotations"]["runbook"] == f"deploy/runbook.md#{alert.lower()}"
    assert alert in headings


def test_the_runbook_has_no_paragraph_about_an_alert_that_is_gone():
    runbook = (ROOT / "deploy/runbook.md").read_text()

    assert re.findall(r"^## (\w+)$", runbook, re.MULTILINE) == list(ALERTS)
