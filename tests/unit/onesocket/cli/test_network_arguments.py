"""The options of the commands for TLS, and errors in their words."""

import ssl
from pathlib import Path

import pytest
import trustme
import typer
from typer.testing import CliRunner

from onesocket.cli._app import app
from onesocket.cli._network_arguments import tls_option
from onesocket.cli._option_names import with_option_names


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("can't be trusted; pass ssl= to trust your own CA", "can't be trusted; pass --cacert to trust your own CA"),
        ("load one into ssl= (SSLContext.load_cert_chain)", "load one into --client-cert"),
        ("raise max_size= if", "raise --max-size if"),
        ("within open_timeout (10 s)", "within --open-timeout (10 s)"),
        ("is local_address=::1 an address", "is --local-address=::1 an address"),
        ("pass the name as server_hostname=", "pass the name as --server-hostname"),
        ("token= goes into the header X, which headers= has", "--token goes into the header X, which --header has"),
        ("ws://h/?proxy=***&token=*** is lost", "ws://h/?proxy=***&token=*** is lost"),
        ("no token, other_words", "no token, other_words"),
        ("share it: join(..., scope='host')", "share it: --scope host"),
    ],
)
def test_errors_name_the_options_of_the_command(text: str, told: str) -> None:
    assert with_option_names(text) == told


def test_a_cacert_is_trusted_beside_the_system_s_trust(tmp_path: Path) -> None:
    assert tls_option(None, None) is None
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca")
    context = tls_option(tmp_path / "ca", None)
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509"] == ssl.create_default_context().cert_store_stats()["x509"] + 1


@pytest.mark.parametrize("flag", ["--cacert", "--client-cert"])
def test_a_file_that_is_missing_or_no_certificate_is_named(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("no certificate", encoding="utf-8")
    for name, why in (("missing", "can't be read: No such file"), ("text", "can't be used: ")):
        path = tmp_path / name
        with pytest.raises(typer.Exit) as caught:
            tls_option(*((path, None) if flag == "--cacert" else (None, path)))
        assert caught.value.exit_code == 2
        assert f"onesocket: {flag}: {path} {why}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["connect", "share"])
def test_the_commands_have_the_options_that_errors_name(command: str) -> None:
    help_text = CliRunner().invoke(app, [command, "--help"]).output
    for flag in ("--cacert", "--client-cert", "--server-hostname", "--local-address", "--max-size", "--proxy"):
        assert f"{flag} " in help_text
    assert "SSL_CERT_FILE" in help_text
    assert "docs/" not in help_text, "an installation has no such files"


def test_a_discord_hub_has_a_size_limit_of_its_own() -> None:
    result = CliRunner().invoke(app, ["share", "--discord", "--max-size", "9"])
    assert result.exit_code == 2
    assert "--max-size has no effect with --discord" in result.output
