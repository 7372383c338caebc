"""The deployment files of a cluster: their syntax, their commands, and the rights at the engine."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples/cluster"


def commands() -> list[list[str]]:
    """The arguments of all hubs in both files."""
    compose = yaml.safe_load((EXAMPLES / "compose.yaml").read_text("utf-8"))
    hubs = [service["command"] for name, service in compose["services"].items() if name.startswith("hub-")]
    deployment, _ = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text("utf-8"))
    return [*hubs, deployment["spec"]["template"]["spec"]["containers"][0]["args"]]


def test_two_hosts_and_two_replicas_share() -> None:
    deployment, service = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text("utf-8"))
    assert deployment["spec"]["replicas"] == 2
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    ports = {port["name"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]}
    assert service["spec"]["ports"][0]["targetPort"] in ports
    assert len(commands()) == 3


@pytest.mark.parametrize("arguments", commands())
def test_the_command_has_these_options(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "onesocket", "share", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603 - our own command
    assert arguments[0] == "share"
    assert arguments[arguments.index("--scope") + 1] == "cluster"
    unknown = [each for each in arguments if each.startswith("--") and f"{each} " not in told.stdout]
    assert not unknown


def test_the_engine_is_set_up_as_its_document_says() -> None:
    compose: dict[str, Any] = yaml.safe_load((EXAMPLES / "compose.yaml").read_text("utf-8"))
    rights = re.search(r"ACL SETUSER onesocket on >PASSWORD (.*)", (ROOT / "docs/cluster-redis.md").read_text("utf-8"))
    assert rights is not None
    command = compose["services"]["valkey"]["command"]
    assert any(each.endswith(rights[1]) for each in command), json.dumps(command)
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
