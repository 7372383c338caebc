"""The state of a gateway session that is kept between connections."""

from __future__ import annotations

from dataclasses import dataclass, field

from onesocket.errors import InvalidURL
from onesocket.urls import parse_url

from ._sequence import Sequence


@dataclass(slots=True)
class Session:
    """One session, from READY until it is rejected or ended."""

    id: str = field(repr=False)
    """Not in the repr: with the token it is enough to take the session over."""
    resume_url: str | None
    sequence: Sequence

    @classmethod
    def from_ready(cls, name: str | None, resume_url: str | None, url: str, sequence: Sequence) -> Session | None:
        """The session that READY named, begun at the gateway `url`; None if it can't be resumed."""
        return cls(name, _safe_resume_url(resume_url, url), sequence) if name else None


def _safe_resume_url(resume_url: str | None, url: str) -> str | None:
    """Return the resume address if it is valid, and has TLS where the gateway has."""
    if resume_url is None:
        return None
    try:
        address = parse_url(resume_url)
    except InvalidURL:
        return None
    return address.url if address.secure or not url.startswith("wss:") else None
