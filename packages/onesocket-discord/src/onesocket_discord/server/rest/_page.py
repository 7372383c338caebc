"""The chat's page: files that are served as they are, with headers that let nothing else in."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from typing import Final

from aiohttp import web

PAGE_GROUP: Final = "onesocket.pages"
"""The entry points that return the files of a page, by their paths."""
_INDEX: Final = "index.html"
_ASSETS: Final = "assets/"
_API: Final = "/api/"
_VERSION_LENGTH: Final = 16
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
    "Vary": "Accept-Encoding",
}
_TYPES: Final = {".js": "text/javascript", ".svg": "image/svg+xml", ".webmanifest": "application/manifest+json"}
_NOT_FOUND: Final = """\
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width" />
    <meta name="color-scheme" content="light dark" />
    <title>Not found · onesocket chat</title>
    <link rel="stylesheet" href="/assets/style/base.css" />
  </head>
  <body>
    <main>
      <h1>There is nothing here</h1>
      <p>This address is none of the chat’s: it may be mistyped, or what it led to is gone.</p>
      <p><a href="/">Go to the chat</a></p>
    </main>
  </body>
</html>
"""
_MISSING: Final = "The chat's page is in another distribution: pip install onesocket-chat, then restart.\n"


@dataclass(frozen=True, slots=True)
class _PageFile:
    body: bytes
    content_type: str
    digest: str


class StaticPage:
    """Serves the files of the page from memory: ``/``, ``/channels/…`` and ``/invite/…`` are its index."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """`files`: contents by paths without a slash in front; empty: the page is not installed."""
        self._version = _version_of(files)
        versioned = f'="/{_ASSETS}{self._version}/'.encode()
        files = {
            name: body.replace(f'="/{_ASSETS}'.encode(), versioned) if name == _INDEX else body
            for name, body in files.items()
        }
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

    def is_opened(self, request: web.Request) -> bool:
        """Return True if a browser has opened this address for a person: then one that isn't there is a page, too."""
        is_page = request.method in {"GET", "HEAD"} and not f"{request.path}/".startswith(_API)
        return self.is_installed and is_page and "text/html" in request.headers.get("Accept", "").lower()

    def not_found(self) -> web.Response:
        """A page with the way to the chat, for an address that isn't there."""
        return web.Response(status=404, text=_NOT_FOUND, content_type="text/html", headers=_HEADERS)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add a route for each file, and one for the addresses in the index, which have the version of all files.

        A browser asks for those once, and not again with each visit whether a hundred small files are current. Those of
        another version are not there: its modules would not fit together with these.
        """
        for path in ("/", "/channels", "/channels/{_:.*}", "/invite/{code}", "/invite/{code}/"):
            router.add_get(path, self._get(_INDEX))
        for name in self._files:
            if name != _INDEX:
                router.add_get(f"/{name}", self._get(name))
        router.add_get(f"/{_ASSETS}{{version:[0-9a-f]{{{_VERSION_LENGTH}}}}}/{{path:.+}}", self._get_versioned)

    async def _get_versioned(self, request: web.Request) -> web.StreamResponse:
        name = _ASSETS + request.match_info["path"]
        if name not in self._files or request.match_info["version"] != self._version:
            raise web.HTTPNotFound
        answer = await self._get(name)(request)
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer

    def _get(self, name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handler(request: web.Request) -> web.StreamResponse:
            file = self._files.get(name)
            if file is None:
                return web.Response(status=404, text=_MISSING, headers=_HEADERS)
            takes_gzip = _takes_gzip(request.headers.get("Accept-Encoding", ""))
            etag = f'"{file.digest}{"-gzip" if takes_gzip else ""}"'
            headers = {**_HEADERS, "ETag": etag}
            if etag in request.headers.get("If-None-Match", ""):
                return web.Response(status=304, headers=headers)
            headers["Content-Type"] = file.content_type
            if not takes_gzip:
                return web.Response(body=file.body, headers=headers)
            return web.Response(body=_compressed(file.body), headers={**headers, "Content-Encoding": "gzip"})

        return handler


def _takes_gzip(accepted: str) -> bool:
    """Return whether a header `Accept-Encoding` names gzip, with a weight other than 0."""
    for part in accepted.lower().split(","):
        coding, _, weight = (each.strip() for each in part.partition(";"))
        if coding == "gzip":
            return not weight or weight.removeprefix("q=").strip("0.") != ""
    return False


def _read_file(name: str, body: bytes) -> _PageFile:
    suffix = f".{name.rpartition('.')[2]}"
    content_type = _TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
    if content_type.startswith("text/"):
        content_type += "; charset=utf-8"
    return _PageFile(body, content_type, hashlib.sha256(body).hexdigest()[:32])


def _version_of(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(b"%s %d\n%s" % (name.encode(), len(files[name]), files[name]))
    return digest.hexdigest()[:_VERSION_LENGTH]


@lru_cache(maxsize=512)
def _compressed(body: bytes) -> bytes:
    """The body by gzip: a third of its size, which counts on the first visit by a slow network."""
    return gzip.compress(body, mtime=0)
