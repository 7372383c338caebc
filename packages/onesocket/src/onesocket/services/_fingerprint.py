"""Fingerprints of the services' protocols, by which processes recognise the same one."""

from __future__ import annotations

from typing import Any, TypeVar

from ..protocols import Protocol

P = TypeVar("P", bound=Protocol[Any])


def with_fingerprint(protocol: P, module: str, *arguments: object) -> P:
    """Give the protocol a fingerprint of its service's module and of the arguments that it was made with; return it.

    Only for a protocol whose functions are those of the module, and know an account by its token alone: by default,
    processes can't compare functions, and need a ``key=``.
    """
    protocol.fingerprint = f"{module}:{arguments!r}"
    return protocol
