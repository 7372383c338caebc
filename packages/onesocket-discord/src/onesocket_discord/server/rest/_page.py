"""The chat's page: files that are served as they are, with headers that let nothing else in."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Final

from aiohttp import web

PAGE_GROUP: Final = "onesocket.pages"
"""The entry points that return the files of a page, by their paths."""
_INDEX: Final = "index.html"
_POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "worker-src 'self'; "
    # No text becomes HTML or a script; the page's policy lets the address of its worker through, and no other.
    "require-trusted-types-for 'script'; trusted-types default"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",  # a copy is used once the server has said that it is the current one
}
_TYPES: Final = {".js": "text/javascript", ".svg": "image/svg+xml", ".webmanifest": "application/manifest+json"}
_MISSING: Final = "The chat's page is in another distribution: pip install onesocket-chat, then restart.\n"


@dataclass(frozen=True, slots=True)
class _PageFile:
    body: bytes
    content_type: str
    etag: str


class StaticPage:
    """Serves the files of the page from memory: ``/`` and ``/channels/…`` are its index."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """`files`: contents by paths without a slash in front; empty: the page is not installed."""
        self._files = {name: _read_file(name, body) for name, body in files.items()}

    def __repr__(self) -> str:
        return f"<StaticPage files={len(self._files)}>"

    @classmethod
    def installed(cls) -> StaticPage:
        """The page of onesocket-chat, if that is installed."""
        entries = metadata.entry_points(group=PAGE_GROUP, name="chat")
        return cls(next(iter(entries)).load()() if entries else {})

    @property
    def is_installed(self) -> bool:
        """True if there is a page."""
        return _INDEX in self._files

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add a route for each file."""
        for path in ("/", "/channels/{_:.+}"):
            router.add_get(path, self._get(_INDEX))
        for name in self._files:
            if name != _INDEX:
                router.add_get(f"/{name}", self._get(name))

    def _get(self, name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handler(request: web.Request) -> web.StreamResponse:
            file = self._files.get(name)
            if file is None:
                return web.Response(status=404, text=_MISSING, headers=_HEADERS)
            headers = {**_HEADERS, "ETag": file.etag}
            if file.etag in request.headers.get("If-None-Match", ""):
                return web.Response(status=304, headers=headers)
            return web.Response(body=file.body, headers={**headers, "Content-Type": file.content_type})

        return handler


def _read_file(name: str, body: bytes) -> _PageFile:
    suffix = f".{name.rpartition('.')[2]}"
    content_type = _TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
    if content_type.startswith("text/"):
        content_type += "; charset=utf-8"
    return _PageFile(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
