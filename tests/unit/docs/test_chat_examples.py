"""The deployment files of the chat server: their syntax, their commands, and what their parts say of each other."""

import configparser
import ipaddress
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main
import yaml

from onesocket_discord.cli import serve
from onesocket_discord.server._public_url import PublicUrl
from onesocket_discord.server._trusted_proxies import TrustedProxies
from onesocket_discord.server.store._database_url import read_database_url

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "chat"
SERVERS = ("chat-a", "chat-b")


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / "compose.yaml").read_text("utf-8"))
    return found


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign] # keeps the case of names
    parser.read_string((EXAMPLES / "onesocket-chat.service").read_text("utf-8"))
    return parser


def parse(arguments: list[str]) -> dict[str, Any]:
    """The values of a command's options, read by the command itself; raises for an unknown one."""
    assert arguments[0] == "serve"
    context = typer.main.get_command(serve).make_context("serve", arguments[1:])
    return dict(context.params)


def variables() -> set[str]:
    """The environment variables that the command reads."""
    found = {param.envvar for param in typer.main.get_command(serve).params}
    return {str(name) for name in found if name is not None}


def test_two_servers_are_as_one_behind_one_proxy() -> None:
    services = compose()["services"]
    one, other = (services[name] for name in SERVERS)
    assert one == other
    options = parse(one["command"])
    assert (options["host"], options["port"], options["log_requests"].value) == ("0.0.0.0", 8720, "json")  # noqa: S104 - in a container
    environment = {name: re.sub(r"\$\{[^}]*\}", "x.example", value) for name, value in one["environment"].items()}
    assert environment.keys() - {"PGPASSWORD"} <= variables()
    assert PublicUrl.parse(environment["ONESOCKET_PUBLIC_URL"]).origin == "https://x.example"
    url = read_database_url(environment["ONESOCKET_DATABASE"])
    database = services[url.host]["environment"]
    assert (database["POSTGRES_USER"], database["POSTGRES_DB"]) == (url.username, url.database)
    assert database["POSTGRES_PASSWORD"] == one["environment"]["PGPASSWORD"]
    engine = services[urlsplit(environment["ONESOCKET_CHAT_CLUSTER"]).hostname]
    assert engine["command"][engine["command"].index("--requirepass") + 1] == "${VALKEY_PASSWORD:?}"
    assert engine["command"][engine["command"].index("--maxmemory-policy") + 1] == "noeviction"
    assert set(one["depends_on"]) <= services.keys()


def test_the_proxy_is_the_one_that_is_trusted() -> None:
    read = compose()
    caddy, chat = read["services"]["caddy"], read["services"]["chat-a"]
    address = caddy["networks"]["chat"]["ipv4_address"]
    assert parse(chat["command"])["trusted_proxy"] == [address]
    (pool,) = read["networks"]["chat"]["ipam"]["config"]
    subnet, others = ipaddress.IPv4Network(pool["subnet"]), ipaddress.IPv4Network(pool["ip_range"])
    assert others.subnet_of(subnet)
    for fixed in (address, pool["gateway"]):  # an engine gives no other container one of these
        assert ipaddress.ip_address(fixed) in subnet
        assert ipaddress.ip_address(fixed) not in others
    source = TrustedProxies([address]).source_of(address, lambda _: ["203.0.113.5"])
    assert source.address == "203.0.113.5"
    (file,) = (each.split(":")[0] for each in caddy["volumes"] if each.startswith("./"))
    text = (EXAMPLES / file).read_text("utf-8")
    assert re.search(r"reverse_proxy chat-a:8720 chat-b:8720 \{", text)
    assert "{$CHAT_HOST}" in text
    assert "CHAT_HOST" in caddy["environment"]
    assert not any("ports" in read["services"][name] for name in read["services"] if name != "caddy")


def test_a_request_that_fails_puts_no_server_out_of_use() -> None:
    """Caddy's passive health checks would, also where the failure is that of a retry whose body Caddy has closed."""
    text = (EXAMPLES / "Caddyfile.compose").read_text("utf-8")
    directives = [line.split()[0] for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert "health_uri" in directives
    assert not {"fail_duration", "max_fails", "unhealthy_status", "unhealthy_latency"} & set(directives)


def test_the_database_is_ready_only_once_it_is_set_up() -> None:
    """The official image sets it up by a server that listens on a Unix socket alone."""
    check = compose()["services"]["postgres"]["healthcheck"]["test"]
    assert check[:4] == ["CMD", "pg_isready", "-h", "127.0.0.1"]


def test_everything_that_is_named_is_defined() -> None:
    read = compose()
    volumes = {each.split(":")[0] for one in read["services"].values() for each in one.get("volumes", ())}
    assert {each for each in volumes if not each.startswith(".")} == read["volumes"].keys()
    for one in read["services"].values():
        assert set(one["networks"]) == read["networks"].keys()
        assert ("image" in one) != ("build" in one)


def test_the_service_runs_a_command_that_exists() -> None:
    service = unit()["Service"]
    program, *arguments = service["ExecStart"].split()
    assert program == "/opt/onesocket/bin/onesocket"
    options = parse([each.replace("%S", "/var/lib") for each in arguments])
    assert options["data"] == Path("/var/lib") / service["StateDirectory"]
    name, _, value = service["Environment"].partition("=")
    assert name in variables()
    assert PublicUrl.parse(value).origin == value
    assert service["KillSignal"] == "SIGTERM"
    assert int(service["TimeoutStopSec"]) > 5
    # Status 1 is that of a database that can't be reached, which may take longer than any number of restarts.
    assert (service["Restart"], unit()["Unit"]["StartLimitIntervalSec"]) == ("on-failure", "0")


def test_systemd_accepts_the_service() -> None:
    """Where there is systemd; elsewhere only that there is a target to start it for."""
    assert unit()["Install"]["WantedBy"] == "multi-user.target"
    if shutil.which("systemd-analyze"):
        file = EXAMPLES / "onesocket-chat.service"
        command = ["systemd-analyze", "verify", str(file)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own
        wrong = [line for line in told.stderr.splitlines() if file.name in line and "is not executable" not in line]
        assert not wrong


@pytest.mark.parametrize("name", ["Caddyfile", "nginx.conf", "haproxy.cfg"])
def test_a_proxy_leads_to_the_port_and_hides_the_control_endpoint(name: str) -> None:
    text = (EXAMPLES / name).read_text("utf-8")
    assert f"127.0.0.1:{parse(['serve'])['port']}" in text
    assert "/control/" in text
    described = (ROOT / "docs" / "chat-operation.md").read_text("utf-8")
    assert f"../examples/chat/{name}" in described
