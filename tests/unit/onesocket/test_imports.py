"""The cost of `import onesocket`: each part is imported on its first use."""

import subprocess
import sys

OPTIONAL = {
    "websockets",
    "h11",
    "typer",
    "rich",
    "picows",
    "uvloop",
    "aiohttp",
    "backports",
    "sqlalchemy",
    "textual",
    "nats",
    "redis",
}


def test_the_core_imports_nothing_optional() -> None:
    # Isolated: what is installed, and nothing that happens to lie in the working directory.
    command = [sys.executable, "-I", "-X", "importtime", "-c", "import onesocket"]
    report = subprocess.run(command, capture_output=True, check=True, text=True).stderr  # noqa: S603 - our own
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in report.splitlines()}
    assert "onesocket" in imported
    assert not imported & OPTIONAL


def test_sharing_is_imported_when_it_is_asked_for() -> None:
    script = """
import sys, onesocket
before = "onesocket.sharing" in sys.modules
onesocket.join
print(before, "onesocket.sharing" in sys.modules, hasattr(onesocket, "Nobody"))
"""
    command = [sys.executable, "-I", "-c", script]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout  # noqa: S603 - our own
    assert printed == "False True False\n"


def test_the_parts_that_most_clients_do_without_are_imported_when_they_are_asked_for() -> None:
    script = """
import sys, onesocket.protocols
onesocket.Client("ws://127.0.0.1/")
parts = {
    "Acknowledgement": "protocols._acknowledgement",
    "DurableOutbox": "client._durable_outbox",
    "Heartbeat": "protocols._heartbeat",
    "Json": "protocols._json",
    "LastValues": "protocols._snapshot",
    "Login": "protocols._login",
    "Requests": "protocols._requests",
}
for name, module in parts.items():
    before = f"onesocket.{module}" in sys.modules
    getattr(onesocket if name in onesocket.__all__ else onesocket.protocols, name)
    print(name, before, f"onesocket.{module}" in sys.modules)
"""
    command = [sys.executable, "-I", "-W", "ignore::ResourceWarning", "-c", script]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout  # noqa: S603 - our own
    lines = printed.splitlines()
    assert len(lines) == 7
    assert {line.partition(" ")[2] for line in lines} == {"False True"}, printed
