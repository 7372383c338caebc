"""Handshake between processes: proof of the same token, dial options and release."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ...errors import OptionConflict, TokenMismatch, VersionMismatch
from .._host_options import Own
from .._option_digests import dial_conflict, first_differing_option, option_proofs
from ._ipc_frames import PROTOCOL_VERSION, Challenge, FeedPosition, Hello

CLUSTER_OPTION: Final = "cluster"
"""Name of the option on which only the processes of one host agree: hosts may reach an engine by other addresses."""


@dataclass(frozen=True, slots=True)
class JoinCredentials:
    """Secret, option digests and release of this process; processes that share a connection agree on them."""

    secret: bytes = field(repr=False)
    release: str
    digests: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Digest of each option that goes into dial and login."""

    def for_other_hosts(self) -> JoinCredentials:
        """Copy of the credentials without what only the processes of this host have in common."""
        digests = {name: value for name, value in self.digests.items() if name != CLUSTER_OPTION}
        return JoinCredentials(self.secret, self.release, digests)

    def challenge(self, nonce: bytes) -> Challenge:
        """The owner's first frame."""
        return Challenge(PROTOCOL_VERSION, self.release, nonce)

    def hello(
        self, nonce: bytes, own: Own, ownership_id: int = 0, position: FeedPosition | None = None, epoch: int = 0
    ) -> Hello:
        """The follower's answer to a challenge, with the place at which it goes on."""
        options, proof = option_proofs(self.digests, self.secret, nonce), self._token_proof(nonce)
        return Hello(PROTOCOL_VERSION, self.release, proof, options, own, ownership_id, position, epoch)

    def check_challenge(self, challenge: Challenge, owner_pid: int) -> None:
        """Raise `VersionMismatch` if the owner's release speaks another protocol."""
        if challenge.protocol != PROTOCOL_VERSION:
            raise _version_mismatch(owner_pid, challenge, Hello(PROTOCOL_VERSION, self.release))

    def check_hello(self, hello: Hello, nonce: bytes) -> None:
        """Raise the error that keeps a follower out: `VersionMismatch`, `TokenMismatch` or `OptionConflict`."""
        pid = os.getpid()
        if hello.protocol != PROTOCOL_VERSION:
            raise _version_mismatch(pid, self.challenge(nonce), hello)
        if not hmac.compare_digest(hello.proof, self._token_proof(nonce)):
            raise TokenMismatch(
                f"another process (pid {pid}) shares this key with another token, or another user "
                "name or password in the URL; use the same, or another key="
            )
        option = first_differing_option(option_proofs(self.digests, self.secret, nonce), hello.options)
        if option == CLUSTER_OPTION:
            raise OptionConflict(
                f"another process (pid {pid}) of this host shares this connection through another engine, or under "
                "another prefix: give cluster= (or ONESOCKET_CLUSTER) the same address, database of Redis or user of "
                "NATS, and prefix in all of them",
                option=option,
            )
        if option is not None:
            raise dial_conflict(f"another process (pid {pid}) shares this connection", option)

    def _token_proof(self, nonce: bytes) -> bytes:
        """HMAC proof that this process holds the shared secret."""
        return hmac.digest(self.secret, b"onesocket " + nonce, "sha256")


def _version_mismatch(owner_pid: int, challenge: Challenge, hello: Hello) -> VersionMismatch:
    pid = f" (pid {owner_pid})" if owner_pid else ""
    return VersionMismatch(
        f"the process that holds the connection{pid} runs onesocket {challenge.release[:40]} with sharing protocol "
        f"{challenge.protocol}, this one runs {hello.release[:40]} with {hello.protocol}: use one release for both",
        ours=hello.protocol,
        theirs=challenge.protocol,
    )
