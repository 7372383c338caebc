"""Checks that all who share a connection would dial and log in alike; the error names the option that differs."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from ..client._client import Client
from ..client._dial_options import dial_digests
from ..protocols._fingerprint import digest
from ._connection_key import ConnectionKey
from ._errors import OptionConflict

_DEFAULT_RULE = "it goes into dial or login, so leaving it out counts as its default"


def option_digests(client: Client) -> dict[str, str]:
    """A digest of each option of this client that goes into dial and login, beside its tokens' source.

    The client must be unused. The digests are those of its options, not of the network, so processes can compare them.
    """
    options = client.internals.options
    token = options.token
    return {
        "client": digest((ConnectionKey.of(options.address.url).url, options.address.authorization)),
        **dial_digests(options),
        "token": digest(token if isinstance(token, str) else None),
    }


def option_proofs(digests: Mapping[str, str], secret: bytes, nonce: bytes) -> dict[str, bytes]:
    """The digests as they may be told to another process: keyed with `secret`, and good for this `nonce` only."""
    return {
        name: hmac.digest(secret, b"onesocket option " + nonce + f" {name} {value}".encode(), "sha256")
        for name, value in digests.items()
    }


def first_differing_option(mine: Mapping[str, bytes], theirs: Mapping[str, Any]) -> str | None:
    """The first option whose proofs differ."""
    for name, proof in mine.items():
        their = theirs.get(name)
        if not isinstance(their, bytes) or not hmac.compare_digest(proof, their):
            return name
    return None


def dial_conflict(where: str, option: str) -> OptionConflict:
    """The error for an option that goes into dial or login. `where`: who shares what already."""
    return OptionConflict(
        f"{where} with another {option}=, and one connection has one ({_DEFAULT_RULE}): give {option}= what that one "
        f"has, or a key= of its own to each account or feed that only {option}= tells apart",
        option=option,
    )
