"""The functions that a connection calls with its frames once the login is complete, in place of the protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..errors import DecodeError
from ..protocols._protocol import NoMessage, as_is
from ..protocols._protocol import Protocol as WireProtocol
from ..wire._handshake import Data
from ._user_code import USER_ERRORS

Receiver = Callable[[Data], None]
BatchReceiver = Callable[[list[Any]], None]


class Publisher(Protocol):
    """Takes the messages of a connection: the fan-out, or a part of the client before it."""

    def publish(self, message: Any) -> None:
        """Take one message."""

    def publish_many(self, batch: list[Any]) -> None:
        """Take several messages."""


def frame_receivers(
    protocol: WireProtocol,
    publish: Callable[[Any], None],
    publish_many: BatchReceiver,
    *,
    undecodable: Callable[[DecodeError], None],
    failed: Callable[[BaseException], None],
    received: Receiver,
) -> tuple[Receiver, BatchReceiver | None] | None:
    """Return the functions for one frame and for several; None: every frame goes to the protocol.

    `received` gives one frame to the protocol; `undecodable` and `failed` get the errors of a message and of a bug.
    """
    decode = protocol.decoder()
    if decode is as_is:
        return publish, publish_many
    if decode is not None:
        return _single(decode, publish, undecodable, failed, received), None
    decode_batch = protocol.batch_decoder()
    return None if decode_batch is None else (_several(decode_batch, publish_many, received, failed), None)


def _single(
    decode: Callable[[Data], Any],
    publish: Callable[[Any], None],
    undecodable: Callable[[DecodeError], None],
    failed: Callable[[BaseException], None],
    received: Receiver,
) -> Receiver:
    """Every frame is one message."""

    def receive(data: Data) -> None:
        try:
            message = decode(data)
        except NoMessage:
            received(data)
        except DecodeError as error:
            undecodable(error.with_data(data))
        except USER_ERRORS as error:  # a protocol's bug must not leave the connection hanging
            failed(error)
        else:
            publish(message)

    return receive


def _several(
    decode: Callable[[Data], list[Any]],
    publish_many: BatchReceiver,
    received: Receiver,
    failed: Callable[[BaseException], None],
) -> Receiver:
    """A frame may hold several messages."""

    def receive(data: Data) -> None:
        try:
            messages = decode(data)
        except DecodeError:
            received(data)  # the protocol knows which of them can be read
        except USER_ERRORS as error:
            failed(error)
        else:
            if messages:
                publish_many(messages)

    return receive
