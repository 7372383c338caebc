"""Messages, requests and subscriptions of this process, for whichever process owns the connection."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable

from ...client._key_options import check_subscription_support
from ...client._subscription_counts import SubscriptionCounts
from ...client._upstream_subscriptions import KeySubscriber
from ...errors import ClientClosed, EncodeError, InvalidOption, IpcError, SubscriptionRefused
from ...lifecycle._outbox import OutboxLimits
from ...protocols._protocol import Protocol
from ._ipc_frames import (
    FIRST_REQUEST_NUMBER,
    Answer,
    OutboxBounds,
    Result,
    Results,
    Subscribe,
    SubscriptionRefusal,
    checked_key,
)
from ._local_status import LocalStatus
from ._membership import Membership
from ._process_messages import ProcessMessages
from ._process_requests import ProcessRequests


class ProcessOperations:
    """Submits operations to the present role, and again to the next one where the last owner had not performed them."""

    def __init__(
        self, protocol: Protocol, limits: OutboxLimits | None, membership: Membership, status: LocalStatus
    ) -> None:
        self._protocol = protocol
        self._membership = membership
        self._limits = limits or OutboxLimits(messages=0)
        self._messages = ProcessMessages(protocol, self._limits, membership, status)
        self._requests = ProcessRequests(membership, functools.partial(self._messages.flush, everything=True))
        self.outbox = self._messages.outbox
        self.subscriptions: SubscriptionCounts[KeySubscriber] = SubscriptionCounts()
        # Straight to their parts: one call less for each.
        self.post = self._messages.post
        self.settle = self._messages.settle
        self.drain = self._messages.drain
        self.request = self._requests.request
        self.ask = self._requests.ask
        self.open_answers = self._requests.open_answers

    def __repr__(self) -> str:
        return f"<ProcessOperations {self.outbox!r} {self._requests!r} {self.subscriptions!r}>"

    # --- subscriptions ----------------------------------------------------------------------------------------------

    def add_keys(self, subscriber: KeySubscriber, keys: Iterable[Hashable]) -> None:
        """Add one subscription for each key. Raises `InvalidOption`."""
        check_subscription_support(self._protocol)
        wanted = list(keys)
        try:
            for key in wanted:
                checked_key(key)
        except IpcError as error:
            raise InvalidOption(f"{error}, not {wanted!r}") from None
        self._subscribe(self.subscriptions.add_keys(subscriber, wanted), [])

    def remove_keys(self, subscriber: KeySubscriber, keys: Iterable[Hashable] | None = None) -> None:
        """Remove one subscription for each key; None: remove the subscriber with all its keys."""
        counts = self.subscriptions
        self._subscribe([], counts.drop(subscriber) if keys is None else counts.remove_keys(subscriber, keys))

    def _refuse(self, refusal: SubscriptionRefusal) -> None:
        """Tell the subscribers of refused keys, which the owner doesn't count for this process any more."""
        losers = self.subscriptions.refuse(refusal.keys)
        # Where one was subscribed to anew meanwhile, the owner counts that: the new subscriber is told as well.
        self._subscribe([], refusal.keys)
        for subscriber, keys in losers:
            subscriber.refused(SubscriptionRefused.of(keys, refusal.reason, retryable=refusal.retryable))

    def _subscribe(self, add: list[Hashable], remove: list[Hashable]) -> None:
        role = self._membership.usable_role
        if role is not None and (add or remove):
            try:
                role.submit(Subscribe(add, remove))
            except (IpcError, EncodeError) as error:
                raise InvalidOption(str(error)) from None

    # --- roles ------------------------------------------------------------------------------------------------------

    def on_role_taken(self) -> None:
        """Submit the limits, the subscriptions and the waiting messages."""
        taken = self._membership.usable_role
        if taken is not None:
            taken.submit(OutboxBounds(self._limits.messages, self._limits.age))
        self._subscribe(list(self.subscriptions.wanted), [])
        self._messages.flush_soon()
        self._requests.on_role_taken()

    def on_role_lost(self, *, in_order: bool) -> None:
        """Keep or settle the operations that the last owner had; `in_order`: it did not perform them."""
        self._requests.on_role_lost(in_order=in_order)
        self._messages.on_role_lost(in_order=in_order)

    def on_event(self, event: Answer | Results | SubscriptionRefusal) -> None:
        """Record what the owner reports about operations."""
        match event:
            case Answer(number, data):
                self._requests.on_answer(number, data)
            case Results(results, sent):
                self._on_results(results, sent)
            case SubscriptionRefusal():
                self._refuse(event)

    def _on_results(self, results: list[Result], sent: list[tuple[int, int]]) -> None:
        for first, last in sent:
            self.outbox.settle_sent(first, last)
        for number, outcome, error in results:
            if number < FIRST_REQUEST_NUMBER:
                self.outbox.settle(number, error)
            else:
                self._requests.on_result(number, outcome, error)
        self._messages.note_results()

    # --- closing ----------------------------------------------------------------------------------------------------

    def begin_close(self) -> None:
        """Submit the waiting messages now; a request that loses its owner from now on is not repeated."""
        self._requests.begin_close()
        self._messages.flush()

    def close(self, *, was_owner: bool) -> None:
        """Settle all operations. `was_owner`: this process had the connection, and has closed it in order."""
        self._requests.on_role_lost(in_order=was_owner)
        self._messages.close(ClientClosed(), was_owner=was_owner)
