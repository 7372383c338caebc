"""One running reverse proxy: its configuration, its start, its reload and its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.campaigns.proxies.programs import environment

_START_SECONDS: Final = 20.0
IDLE_SECONDS: Final = 1
"""Idle time after which nginx and HAProxy cut a connection; Caddy has no such limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The values that the configuration of a proxy depends on."""

    folder: Path
    port: int
    admin_port: int
    backend: int
    certificate: Path | None
    """A PEM file with key and certificate: TLS at the proxy. None: plain."""


def _nginx(setting: Setting) -> str:
    tls = (
        f"ssl_certificate {setting.certificate}; ssl_certificate_key {setting.certificate};"
        if setting.certificate
        else ""
    )
    folders = "".join(
        f"{name}_temp_path {setting.folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    proxied = f"""
      proxy_pass http://127.0.0.1:{setting.backend}; proxy_http_version 1.1; proxy_connect_timeout 1s;
      proxy_read_timeout {IDLE_SECONDS}s; proxy_send_timeout {IDLE_SECONDS}s;
      add_header X-Proxy nginx always;"""
    return f"""
daemon off; pid {setting.folder}/nginx.pid; error_log {setting.folder}/nginx.log; worker_processes 1; user root;
events {{ worker_connections 256; }}
http {{
  access_log off; {folders}
  limit_conn_zone $server_port zone=all:1m; limit_conn_status 503;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
  server {{
    listen 127.0.0.1:{setting.port}{" ssl" if setting.certificate else ""}; {tls}
    location / {{ {proxied}
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }}
    location /one {{ {proxied} limit_conn all 1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }}
    location /stripped {{ {proxied} }}
  }}
}}
"""


def _haproxy(setting: Setting) -> str:
    tls = f" ssl crt {setting.certificate}" if setting.certificate else ""
    return f"""
global
  maxconn 200
defaults
  mode http
  timeout connect 1s
  timeout queue 1s
  timeout client {IDLE_SECONDS}s
  timeout server {IDLE_SECONDS}s
  timeout tunnel {IDLE_SECONDS}s
  retries 0
frontend all
  bind 127.0.0.1:{setting.port}{tls}
  http-request del-header Upgrade if {{ path_beg /stripped }}
  http-response set-header X-Proxy haproxy
  use_backend one if {{ path_beg /one }}
  default_backend many
backend many
  server backend 127.0.0.1:{setting.backend}
backend one
  server backend 127.0.0.1:{setting.backend} maxconn 1
"""


def _caddy(setting: Setting) -> str:
    scheme = "https" if setting.certificate else "http"
    tls = f"tls {setting.certificate} {setting.certificate}" if setting.certificate else ""
    return f"""
{{
  admin 127.0.0.1:{setting.admin_port}
  auto_https off
}}
{scheme}://127.0.0.1:{setting.port} {{
  bind 127.0.0.1
  {tls}
  header X-Proxy caddy
  @stripped path /stripped*
  request_header @stripped -Upgrade
  reverse_proxy 127.0.0.1:{setting.backend} {{
    transport http {{
      dial_timeout 1s
    }}
  }}
}}
"""


_CONFIGURATIONS: Final[Mapping[str, Callable[[Setting], str]]] = {"nginx": _nginx, "haproxy": _haproxy, "caddy": _caddy}


class Proxy:
    """One proxy in front of a backend on loopback."""

    def __init__(
        self,
        name: str,
        program: str,
        backend: int,
        folder: Path,
        certificate: Path | None,
        *,
        configure: Callable[[Setting], str] | None = None,
    ) -> None:
        """`configure` writes the configuration; by default that of the scenarios with a counting server."""
        self.name = name
        self._configure = configure or _CONFIGURATIONS[name]
        self.is_secure = certificate is not None
        self._program = program
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._setting = Setting(
            folder=folder,
            port=free_port(),
            admin_port=free_port(),
            backend=backend,
            certificate=certificate,
        )
        self._configuration = folder / ("Caddyfile" if name == "caddy" else f"{name}.conf")
        self._process: asyncio.subprocess.Process | None = None

    def __repr__(self) -> str:
        return f"<Proxy {self.name}{' TLS' if self.is_secure else ''}>"

    @property
    def port(self) -> int:
        """Its port on loopback."""
        return self._setting.port

    @property
    def backend(self) -> int:
        """The port of loopback that it leads to."""
        return self._setting.backend

    @property
    def url(self) -> str:
        """URL of the WebSocket behind the proxy."""
        return f"ws{'s' if self.is_secure else ''}://127.0.0.1:{self._setting.port}/"

    async def start(self) -> None:
        """Start, and wait until the port is open."""
        self._configuration.write_text(self._configure(self._setting), encoding="utf-8")
        self._process = await self._run(*self._start_arguments())
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._setting.port)
                writer.close()
                return
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{self.name} does not listen; see {self._folder}/output.log")

    async def reload(self) -> None:
        """Take the configuration anew, as an administrator would."""
        if self._process is None:
            return
        if self.name == "caddy":
            address = f"127.0.0.1:{self._setting.admin_port}"
            command = ("reload", "--force", "--adapter", "caddyfile", "--config", str(self._configuration))
            done = await self._run(*command, "--address", address)
            if await done.wait():
                raise RuntimeError(f"caddy reload failed; see {self._folder}/output.log")
        else:
            self._process.send_signal(signal.SIGHUP if self.name == "nginx" else signal.SIGUSR2)

    async def stop(self) -> None:
        """End the proxy at once, with the connections through it."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.terminate()  # nginx's fast shutdown, HAProxy's and Caddy's end
            try:
                async with asyncio.timeout(_START_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    def _start_arguments(self) -> tuple[str, ...]:
        path = str(self._configuration)
        if self.name == "nginx":
            return ("-p", str(self._folder), "-e", str(self._folder / "nginx.log"), "-c", path)
        if self.name == "haproxy":
            return ("-W", "-db", "-f", path)
        return ("run", "--adapter", "caddyfile", "--config", path)

    async def _run(self, *arguments: str) -> asyncio.subprocess.Process:
        with (self._folder / "output.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                self._program,
                *arguments,
                env=environment(self._folder.parent),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def free_port() -> int:
    """Return a port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
