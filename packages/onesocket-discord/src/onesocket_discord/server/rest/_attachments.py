"""Serves the files of messages, so that none of them runs as a page of this server."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from aiohttp import web

from ...protocol._snowflakes import parse_snowflake
from .._api_error import unknown_resource
from ..service import ChatService

_SHOWN: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"})
"""Types that a browser may show; everything else is saved."""
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, max-age=31536000, immutable",  # a file never changes
}


def add_attachment_route(router: web.UrlDispatcher, service: ChatService) -> None:
    """Add the route of the files. Their addresses hold a key, as images of a page send no token."""

    async def get(request: web.Request) -> web.StreamResponse:
        channel_id, attachment_id = (parse_snowflake(request.match_info[name]) for name in ("channel_id", "id"))
        if channel_id is None or attachment_id is None:
            raise unknown_resource("Message")
        file = await service.attachments.get(channel_id, attachment_id, request.query.get("key", ""))
        is_shown = file.content_type in _SHOWN
        disposition = f"{'inline' if is_shown else 'attachment'}; filename*=UTF-8''{quote(file.filename)}"
        content_type = file.content_type if is_shown else "application/octet-stream"
        headers = {**_HEADERS, "Content-Type": content_type, "Content-Disposition": disposition}
        return web.Response(body=file.body, headers=headers)

    router.add_get("/attachments/{channel_id}/{id}/{filename}", get)
