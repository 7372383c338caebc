"""The deployment files of a cluster: their syntax, their commands, and the rights at the engine."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError
from redis.retry import Retry

from tests.support.redis_server import redis_server

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


def test_the_engine_starts_with_the_user_of_its_document() -> None:
    compose: dict[str, Any] = yaml.safe_load((EXAMPLES / "compose.yaml").read_text("utf-8"))
    rights = re.search(r"ACL SETUSER onesocket on >PASSWORD (.*)", (ROOT / "docs/cluster-redis.md").read_text("utf-8"))
    assert rights is not None
    program, *options = (
        each.replace("${VALKEY_PASSWORD:?}", "secret") for each in compose["services"]["valkey"]["command"]
    )
    assert program == "valkey-server"
    user = options.index("onesocket")
    assert options[user - 1 : user + 3] == ["--user", "onesocket", "on", ">secret"]
    assert options[user + 3 :] == rights[1].split()
    with redis_server(*options) as server:  # which reads each word as an option's value, or refuses to start
        with server.client(username="onesocket", password="secret") as client:
            assert client.time()
            with pytest.raises(NoPermissionError):
                client.flushall()
        with server.client(retry=Retry(NoBackoff(), 0)) as client, pytest.raises(AuthenticationError):
            client.time()
    assert options[options.index("--maxmemory-policy") + 1] == "noeviction"
