"""What is kept from one connection to the next, so that the session goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

from onesocket.errors import InvalidURL
from onesocket.urls import parse_url

from ._sequence import Sequence


@dataclass(slots=True)
class Session:
    """One session, from READY until it is refused or ended."""

    id: str = field(repr=False)
    """Not shown: with the token it is all that a stranger would need to take over."""
    resume_url: str | None
    sequence: Sequence

    @classmethod
    def from_ready(cls, name: str | None, resume_url: str | None, url: str, sequence: Sequence) -> Session | None:
        """The session that READY named, begun at the gateway `url`; None if it can't be resumed."""
        return cls(name, _safe_resume_url(resume_url, url), sequence) if name else None


def _safe_resume_url(resume_url: str | None, url: str) -> str | None:
    """The resume address if it is one, and doesn't make us tell the token without TLS."""
    if resume_url is None:
        return None
    try:
        address = parse_url(resume_url)
    except InvalidURL:
        return None
    return address.url if address.secure or not url.startswith("wss:") else None
