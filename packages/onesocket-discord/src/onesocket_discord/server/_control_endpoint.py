"""The control endpoint: faults, counters and accounts over HTTP, for the owner of the control file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from aiohttp import web

from onesocket.errors import OnesocketError
from onesocket.hub._endpoint import is_loopback

from ._fault_injector import FaultInjector, describe_fault
from ._management import manage_service
from ._ports import Json
from .gateway._gateway_state import GatewayState
from .rest import is_address
from .service import ChatService

_PREFIX: Final = "/control/"
_MAX_BODY_SIZE: Final = 64 << 10
_FORWARDED: Final = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Via")
"""Headers that reverse proxies add: through one on this machine every client seems to be here."""


class ControlEndpoint:
    """A hook that answers ``/control/...`` on loopback to requests with the control token."""

    def __init__(self, state: GatewayState, faults: FaultInjector, service: ChatService) -> None:
        self._state = state
        self._faults = faults
        self._service = service
        self._token = secrets.token_urlsafe(32)

    def __repr__(self) -> str:
        return "<ControlEndpoint>"

    def write_file(self, path: Path, url: str) -> None:
        """Write the endpoint's address and token to a file that only its owner can read."""
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"url": url, "token": self._token, "pid": os.getpid()}, file)

    def remove_file(self, path: Path) -> None:
        """Remove the file, if it is this server's."""
        with contextlib.suppress(OSError, ValueError):
            if json.loads(path.read_text(encoding="utf-8")).get("token") == self._token:
                path.unlink()

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        """Answer a control request; returns None for any other."""
        if not request.path.startswith(_PREFIX):
            return None
        if not is_address(request.headers.get("Host", "")):
            return _error_response(403, "the control endpoint is reached by its address, not by a name")
        if any(name in request.headers for name in _FORWARDED):
            return _error_response(403, "the control endpoint is reached on its machine, not through a proxy")
        if not is_loopback(request.remote or "") or not self._is_authorized(request):
            return _error_response(401, "the control token is missing or wrong; it is in the server's control file")
        try:
            return web.json_response(await self._answer(request))
        except OnesocketError as error:
            return _error_response(400, str(error))

    async def _answer(self, request: web.Request) -> Json:
        what, _, name = request.path.removeprefix(_PREFIX).partition("/")
        match request.method, what:
            case "GET", "stats":
                return asdict(self._state.stats_counter.snapshot())
            case "GET", "faults":
                return {"standing": [describe_fault(fault) for fault in self._state.fault_schedule.active]}
            case "POST", "faults":
                return await self._faults.perform(name, await _body(request))
            case "POST", _:
                return await manage_service(self._service, f"{what}/{name}".strip("/"), await _body(request))
            case _:
                raise _InvalidControlRequest(f"there is no {request.method} {request.path}")

    def _is_authorized(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Control ")
        return secrets.compare_digest(given.encode(), self._token.encode())


class _InvalidControlRequest(OnesocketError):
    """The request is not part of the control endpoint."""


async def _body(request: web.Request) -> Json:
    if request.content_length is not None and request.content_length > _MAX_BODY_SIZE:
        raise _InvalidControlRequest("the body is too large")
    try:
        async with asyncio.timeout(10):
            raw = await request.read()
        body: Any = msgspec.json.decode(raw) if raw else {}
    except (ValueError, RecursionError, web.RequestPayloadError):
        raise _InvalidControlRequest("the body is not JSON") from None
    except TimeoutError:
        raise _InvalidControlRequest("the body did not come within 10 s") from None
    if not isinstance(body, dict):
        raise _InvalidControlRequest("the body must be a JSON object")
    return cast("Json", body)


def _error_response(status: int, text: str) -> web.Response:
    return web.json_response({"message": text, "code": 0}, status=status)
