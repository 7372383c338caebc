"""Merges the messages of a connection and its successor: each message once, in order, without a hole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

from ..errors import DecodeError
from ._frame_receivers import Publisher
from ._user_code import USER_ERRORS


class Overlap:
    """The messages of two connections during one rotation.

    Until the successor takes over, its messages wait: what the old connection brings, too, is delivered from there.
    Then the rest of them is delivered, and from then on each message from the connection that brings it first: both
    bring the same messages in the same order, so nothing is doubled, reordered or lost. Only what one of them is ahead
    of the other is kept.
    """

    __slots__ = (
        "_ahead",
        "_hear_answers",
        "_held",
        "_identity",
        "_ignores_old",
        "_late",
        "_publisher",
        "_report",
        "_take_answer",
        "has_switched",
        "new",
        "old",
    )

    def __init__(
        self,
        publisher: Publisher,
        identity: Callable[[Any], Hashable],
        report: Callable[[BaseException, str], None],
        late: Counter[Hashable] | None = None,
        *,
        hear_answers: Callable[[bool], object] = bool,
        take_answer: Callable[[Any], bool] = lambda _: False,
    ) -> None:
        """`late`: identities of messages that an earlier connection has brought, and the old one not yet.

        `hear_answers`: called with False before a message is published that is no answer to anything that was sent on
        the authoritative connection, and with True after it. `take_answer`: called with each message of the successor
        when it comes, before the switch; returns True if nobody else wants it.
        """
        self._publisher = publisher
        self._hear_answers = hear_answers
        self._take_answer = take_answer
        self._identity = identity
        self._report: Callable[[BaseException, str], None] | None = report
        self._held: dict[Hashable, list[Any]] = {}
        """Messages of the successor that wait, by their identity, or by an object of their own; more than one where the
        service has repeated it."""
        self.old, self.new = _Side(self._take_old), _Side(self._take_new)
        """The publishers of the two connections."""
        self._ahead: tuple[Counter[Hashable], Counter[Hashable]] = Counter(), Counter()
        """Identities of messages that the old connection has brought, and the successor not yet; and the reverse.
        They are counted, as services repeat messages, on both connections."""
        self._late = Counter[Hashable]() if late is None else late
        self.has_switched = False
        self._ignores_old = False

    def __repr__(self) -> str:
        ahead = "/".join(str(len(each)) for each in self._ahead)
        return f"<Overlap {'switched' if self.has_switched else 'before'} held={len(self._held)} ahead={ahead}>"

    @property
    def late(self) -> Counter[Hashable]:
        """Identities of messages that were delivered, and whose copies the authoritative connection may still bring."""
        return Counter(self._ahead[0] if self.has_switched else self._late)

    def switch(self, *, is_seamless: bool = True) -> None:
        """Let the successor take over: deliver its messages that the old connection has not brought.

        Otherwise than seamless, after a loss and its gap, what the old connection still brings is of the past.
        """
        self.has_switched = True
        self._ignores_old = not is_seamless
        held, self._held = self._held, {}
        for identity, messages in held.items():
            if not isinstance(identity, _NoIdentity):
                self._ahead[1][identity] += len(messages)
            for message in messages:
                self._publish_unheard(message)

    def _publish_unheard(self, message: Any) -> None:
        self._hear_answers(False)  # noqa: FBT003 - an event
        self._publisher.publish(message)
        self._hear_answers(True)  # noqa: FBT003 - an event

    def _take_old(self, message: Any) -> None:
        if self._ignores_old:
            return
        identity = self._identity_of(message)
        if _take_one(self._late, identity):
            self._ahead[0][identity] += 1
            return
        if identity is not None:
            if not self._release(identity) and not _take_one(self._ahead[1], identity):
                self._ahead[0][identity] += 1
            elif self.has_switched:
                return
        if self.has_switched:
            self._publish_unheard(message)
        else:
            self._publisher.publish(message)

    def _take_new(self, message: Any) -> None:
        if not self.has_switched and self._take_answer(message):
            return
        identity = self._identity_of(message)
        if identity is not None and _take_one(self._ahead[0], identity):
            return
        if not self.has_switched:
            self._held.setdefault(_NoIdentity() if identity is None else identity, []).append(message)
            return
        if identity is not None:
            self._ahead[1][identity] += 1
        self._publisher.publish(message)

    def _release(self, identity: Hashable) -> bool:
        """Drop a message of the successor that waits, as the old connection has brought it; False: there is none."""
        held = self._held.get(identity)
        if held is None:
            return False
        del held[0]
        if not held:
            del self._held[identity]
        return True

    def _identity_of(self, message: Any) -> Hashable:
        try:
            identity = self._identity(message)
            hash(identity)
        except DecodeError:
            return None  # of a message that another process decodes, and reports
        except USER_ERRORS as error:
            report, self._report = self._report, None
            if report is not None:  # once in a rotation
                report(error, "Rotation.identity")
            return None
        return identity


def _take_one(counter: Counter[Hashable], identity: Hashable) -> bool:
    """Count one message less; False if there is none."""
    count = counter.get(identity, 0)
    if count > 1:
        counter[identity] = count - 1
    elif count:
        del counter[identity]
    return bool(count)


class _NoIdentity:
    """The place of a message without an identity."""


class _Side:
    """The publisher of one of the two connections."""

    __slots__ = ("_take",)

    def __init__(self, take: Callable[[Any], None]) -> None:
        self._take = take

    def publish(self, message: Any) -> None:
        """Take one message."""
        self._take(message)

    def publish_many(self, batch: list[Any]) -> None:
        """Take several messages, one after the other."""
        for message in batch:
            self._take(message)
