"""The owner's frames with which late readers begin, in this process and its followers."""

from __future__ import annotations

from typing import Any, Self

from ...client._fan_out import FanOut
from ...client._snapshot_keeper import SnapshotKeeper
from ...client._user_code import encode_message
from ...errors import DecodeError
from ...protocols._protocol import Protocol
from ...wire._handshake import Data
from ._forwarding_protocol import decode_all, packer, unpacker


class OwnerSnapshot:
    """Decodes each forwarded frame for its keeper, which keeps the frames."""

    def __init__(self, protocol: Protocol, keeper: SnapshotKeeper) -> None:
        self.keeper = keeper
        self._protocol = protocol
        self._decode = unpacker(protocol)

    def __repr__(self) -> str:
        return f"<OwnerSnapshot {self.keeper!r}>"

    @classmethod
    def of(cls, protocol: Protocol, fan_out: FanOut) -> Self | None:
        """Take the keeper of a client that delivers undecoded messages; None: the protocol declares no snapshot."""
        keeper = fan_out.take_keeper()
        return None if keeper is None else cls(protocol, keeper)

    def on_batch(self, batch: list[Data]) -> None:
        """Take note of forwarded frames."""
        for data, message in zip(batch, decode_all(self._decode, batch), strict=True):
            if isinstance(message, DecodeError):
                self.keeper.put_unreadable(data)
            else:
                self.keeper.put(message, data)

    def frames(self) -> list[Data]:
        """Return the frames with which a reader begins; the place of a message without a frame is left out."""
        return [item for item in self.keeper.items(self._encode) if isinstance(item, str | bytes)]

    def _encode(self, message: Any) -> Data:
        if self._protocol.frame_decoder() is None:
            return packer(self._protocol)(message)
        return encode_message(self._protocol, message)
