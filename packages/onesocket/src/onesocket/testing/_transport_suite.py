"""One suite that every transport must pass: those of onesocket, and yours.

Run all checks at once, or each as a test of its own::

    await check_transport(MyTransport)

    @pytest.mark.parametrize("check", transport_checks(), ids=str)
    async def test_my_transport(check: TransportCheck) -> None:
        await check.run(MyTransport)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..transports._transport import Transport
from ._test_peer import LoopbackTestPeer, PeerFeature, TransportTestPeer
from ._transport_checks import closing, frames, messages, opening
from ._transport_checks import handshake_responses as answers
from ._transport_checks.check import TransportCheck

_ALL_CHECKS = (*opening.CHECKS, *answers.CHECKS, *messages.CHECKS, *frames.CHECKS, *closing.CHECKS)


def transport_checks(peer: TransportTestPeer | None = None) -> list[TransportCheck]:
    """Return the checks that this test peer supports (default: a `FaultyServer` on loopback, which supports all)."""
    lacks = frozenset[PeerFeature]() if peer is None else peer.unsupported.keys()
    return [check for check in _ALL_CHECKS if not check.needs & lacks]


def skipped_checks(peer: TransportTestPeer) -> Mapping[str, str]:
    """Return the names of the checks that this test peer does not support, each with the reason."""
    lacks = peer.unsupported
    return {
        check.name: "; ".join(lacks[feature] for feature in check.needs if feature in lacks)
        for check in _ALL_CHECKS
        if check.needs & lacks.keys()
    }


async def check_transport(
    make_transport: Callable[[], Transport], *, peer: TransportTestPeer | None = None
) -> list[str]:
    """Run all checks, one after the other; returns their names.

    Raises an `ExceptionGroup` with one `AssertionError` for each failed check. Only the checks of
    `transport_checks(peer)` are run; `skipped_checks(peer)` lists the others.
    """
    peer = peer if peer is not None else LoopbackTestPeer()
    failures: list[Exception] = []
    checks = transport_checks(peer)
    for check in checks:
        try:
            await check.run(make_transport, peer)
        except Exception as error:  # noqa: BLE001 - each is reported, with its name
            failure = AssertionError(f"{check.name}: {str(error) or type(error).__name__}")
            failure.__cause__ = error
            failures.append(failure)
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(checks)} checks of the transport failed", failures)
    return [check.name for check in checks]
