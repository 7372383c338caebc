"""Coordination of a cluster by NATS JetStream: its lease is a message with a time to live, its feed a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...client._options import check_seconds
from ...errors import InvalidOption, MissingExtra
from ._coordinator import ClusterKey, check_member_name
from ._feed_retention import Retention
from ._nats_address import NatsAddress, are_replicas

if TYPE_CHECKING:
    from ._nats_key import NatsKeyCoordinator
    from ._nats_observer import NatsObserver


class NatsCoordinator:
    """`ClusterEngine` for NATS 2.12.1 or newer with JetStream.

    `url`: ``nats://[user:password@|token@]host[:port][,host2…]``, with TLS ``tls://`` (options ``?ca=``, ``cert=`` and
    ``key=``: PEM files). `timeout`: seconds for each request. `retention`: what is kept for members that lag.
    `replicas`: servers that keep it, 1 to 5; None: as the URL says (``?replicas=3``), else 1. The member that makes the
    streams decides replicas and number of records; where there are fewer servers, it gets an `EngineUnusable`.

    A lease ends by the server's clock. A server without room for a record can't
    renew a lease either. A user with access rules has to publish to ``$JS.API.STREAM.INFO.*``, ``STREAM.CREATE.*``,
    ``STREAM.PURGE.*``, ``STREAM.MSG.GET.*``, ``CONSUMER.CREATE.*.*`` (all below ``$JS.API``), ``$JS.FC.>`` and
    ``PREFIX.>``, and to subscribe to ``_INBOX.>``; for `onesocket status --cluster` also to ``STREAM.NAMES``.

    Needs ``onesocket[nats]`` (`MissingExtra`); raises `InvalidURL` and `InvalidOption`.
    """

    def __init__(
        self, url: str, *, timeout: float = 2.0, retention: Retention | None = None, replicas: int | None = None
    ) -> None:
        check_seconds("timeout", timeout)
        self._address = NatsAddress.of(url)
        if replicas is None:
            replicas = self._address.replicas or 1
        elif not are_replicas(replicas):
            raise InvalidOption(f"replicas must be a whole number from 1 to 5, not {replicas!r}")
        self._timeout = timeout
        self._retention = retention if retention is not None else Retention()
        self._replicas = replicas
        _coordinator_class()

    def __repr__(self) -> str:
        return f"<NatsCoordinator {self}>"

    def __str__(self) -> str:
        return str(self._address)

    def __eq__(self, other: object) -> bool:
        """True for an engine that was made in the same way: each component of a program may make its own."""
        return isinstance(other, NatsCoordinator) and self._made_of == other._made_of

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def place(self) -> str:
        """Address and user name, without secrets: another user's account may have other streams.

        A URL does not tell the account, and two users of one account are taken to have two: better one that is refused
        than two clusters, each with a connection. A server with a token has one account.
        """
        return f"{self._address} {self._address.username or ''}"

    @property
    def _made_of(self) -> tuple[object, ...]:
        return self._address, self._timeout, self._retention, self._replicas

    def open(self, key: ClusterKey, member: str) -> NatsKeyCoordinator:
        """As `ClusterEngine.open`."""
        return _coordinator_class()(
            self._address,
            key,
            check_member_name(member),
            timeout=self._timeout,
            retention=self._retention,
            replicas=self._replicas,
        )

    def observe(self, prefix: str) -> NatsObserver:
        """As `ClusterEngine.observe`."""
        _coordinator_class()
        from ._nats_observer import NatsObserver  # noqa: PLC0415 - for `onesocket status` alone

        return NatsObserver(self._address, prefix, self._timeout)


def _coordinator_class() -> type[NatsKeyCoordinator]:
    try:
        from ._nats_key import NatsKeyCoordinator  # noqa: PLC0415 - only if NATS is used
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "nats":
            raise
        raise MissingExtra('NatsCoordinator needs nats-py: pip install "onesocket[nats]"') from error
    return NatsKeyCoordinator
