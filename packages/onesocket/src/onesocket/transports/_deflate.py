"""permessage-deflate for the transport on `websockets`, whose own delivers wrong data after a final DEFLATE block."""

from __future__ import annotations

from collections.abc import Sequence

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.typing import ExtensionParameter

from ..errors import MessageTooBig
from ..wire._deflate import Inflater
from ..wire._frame_error import FrameError


class Deflate(PerMessageDeflate):
    """The extension after negotiation."""

    def __init__(self, agreed: PerMessageDeflate) -> None:
        super().__init__(
            agreed.remote_no_context_takeover,
            agreed.local_no_context_takeover,
            agreed.remote_max_window_bits,
            agreed.local_max_window_bits,
            agreed.compress_settings,
        )
        self._inflater: Inflater | None = None
        self._compressed = False
        """True if the message under way is compressed."""

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Decompress the payload of one frame."""
        if frame.opcode in CTRL_OPCODES:
            return frame
        if frame.opcode is not Opcode.CONT:
            self._compressed = frame.rsv1
        elif self._compressed and frame.rsv1:
            raise ProtocolError("RSV1 bit set in continuation frame")
        if not self._compressed:
            return frame
        self._compressed = not frame.fin
        if self._inflater is None:
            takeover = not self.remote_no_context_takeover
            self._inflater = Inflater(self.remote_max_window_bits, context_takeover=takeover, max_size=max_size)
        try:
            data = self._inflater.inflate(bytes(frame.data), frame.opcode is not Opcode.CONT, frame.fin)
        except FrameError as error:
            if error.code == MessageTooBig.code:
                raise PayloadTooBig(None, max_size) from error
            raise ProtocolError(str(error)) from error
        return Frame(frame.opcode, data, frame.fin, False, frame.rsv2, frame.rsv3)  # noqa: FBT003 - its signature


class DeflateFactory(ClientPerMessageDeflateFactory):
    """Offers the extension."""

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> Deflate:
        """Returns the extension as the server accepted it. Raises `NegotiationError`."""
        return Deflate(super().process_response_params(params, accepted_extensions))
