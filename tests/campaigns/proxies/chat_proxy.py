"""The reverse proxies as `examples/chat` sets them up, on loopback: their configurations are those files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.campaigns.harness.report import ROOT
from tests.campaigns.proxies.proxy import Setting

_EXAMPLES: Final = ROOT / "examples" / "chat"
_BACKEND: Final = "127.0.0.1:8720"
CADDY_ROOT: Final = Path("caddy", "pki", "authorities", "local", "root.crt")
"""The certificate of Caddy's own authority, in its data directory."""


def _example(name: str, setting: Setting, changes: Mapping[str, str]) -> str:
    text = (_EXAMPLES / name).read_text("utf-8")
    for old, new in {_BACKEND: f"127.0.0.1:{setting.backend}", **changes}.items():
        if old not in text:
            raise ValueError(f"examples/chat/{name} has no {old!r} any more")
        text = text.replace(old, new)
    return text


def _caddy(setting: Setting) -> str:
    site = f"https://localhost:{setting.port} {{\n\tbind 127.0.0.1\n\ttls internal\n"
    return (
        f"{{\n\tadmin 127.0.0.1:{setting.admin_port}\n\tskip_install_trust\n\tauto_https disable_redirects\n}}\n"
        + _example("Caddyfile", setting, {"\nchat.example {\n": f"\n{site}"})
    )


def _nginx(setting: Setting) -> str:
    folders = "".join(
        f"{name}_temp_path {setting.folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    changes = {
        "listen 443 ssl;": f"listen 127.0.0.1:{setting.port} ssl;",
        "server_name chat.example;": "server_name localhost;",
        "/etc/letsencrypt/live/chat.example/fullchain.pem": str(setting.certificate),
        "/etc/letsencrypt/live/chat.example/privkey.pem": str(setting.certificate),
    }
    return (
        f"daemon off; pid {setting.folder}/nginx.pid; error_log {setting.folder}/nginx.log; worker_processes 1;\n"
        f"user root; events {{ worker_connections 256; }}\nhttp {{\naccess_log off; {folders}\n"
        f"{_example('nginx.conf', setting, changes)}}}\n"
    )


def _haproxy(setting: Setting) -> str:
    changes = {
        "bind :443 ": f"bind 127.0.0.1:{setting.port} ",
        "/etc/haproxy/chat.example.pem": str(setting.certificate),
    }
    return f"global\n  maxconn 200\n{_example('haproxy.cfg', setting, changes)}"


CHAT_CONFIGURATIONS: Final[Mapping[str, Callable[[Setting], str]]] = {
    "nginx": _nginx,
    "haproxy": _haproxy,
    "caddy": _caddy,
}
