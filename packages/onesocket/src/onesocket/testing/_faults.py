"""Faults: misbehaviour of one connection of the faulty server."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from ..wire._handshake import Data
from ._raw_frames import Opcode, encode_close, encode_frame, encode_message


class UpgradeReply(StrEnum):
    """Response of the server to an upgrade request."""

    ACCEPT = "accept"
    NEVER = "never answer"
    BYTES = "write `response`, then end TCP"
    TRUNCATE = "write the first `keep` bytes of the 101, then end TCP"
    RESET = "reset TCP"


class FaultAction(StrEnum):
    """Action of the server when the fault strikes, after `frames` have been written."""

    CARRY_ON = "carry on"
    CLOSE = "start a proper close handshake"
    DROP = "end TCP without a CLOSE frame"
    RESET = "reset TCP"
    SILENCE = "go silent"
    MUTE = "send no message any more"
    STOP_READING = "stop reading"


class CloseReply(StrEnum):
    """Response of the server to a CLOSE frame."""

    NORMAL = "answer it, end TCP"
    NEVER = "ignore it, keep TCP"
    KEEP_TCP = "answer it, keep TCP"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Fault:
    """Misbehaviour of one connection: built by the named constructors, combined with `|`.

    A fault has two parts. The *upgrade* part says how the upgrade request is answered. The *live* part
    *strikes* right after the 101 (its frames share one write with it), or after the n-th message: `after()`.
    `Fault()` is a well-behaved connection. `Fault.slow_upgrade(0.15) | Fault.no_pong()` does both.
    """

    label: str = field(default="none", compare=False)
    upgrade_delay: float = 0.0
    upgrade_release: asyncio.Event | None = None
    answer: UpgradeReply = UpgradeReply.ACCEPT
    response: bytes = b""
    keep: int = 0
    headers: tuple[tuple[str, str | None], ...] = ()
    status_line: str = ""
    interim: bytes = b""
    keep_open: bool = False
    piece: int = 0
    pause: float = 0.0
    after_messages: int = 0
    frames: bytes = b""
    separate_write: bool = False
    then: FaultAction = FaultAction.CARRY_ON
    close_code: int = 1000
    close_reason: str = ""
    sends_close: bool = False
    close_reply: CloseReply = CloseReply.NORMAL
    pongs: bool = True
    final_blocks: bool = False

    def __repr__(self) -> str:
        return f"Fault({self.label!r})"

    def __or__(self, other: Fault) -> Fault:
        """Combine two faults. Raises ValueError if both set the same thing differently."""
        mine, theirs = self._settings(), other._settings()
        clashes = sorted(name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name])
        if clashes:
            raise ValueError(f"{self!r} and {other!r} both set {', '.join(clashes)}")
        return replace(self, **theirs, label=f"{self.label} + {other.label}")

    def after(self, messages: int) -> Fault:
        """Let the live part strike once `messages` messages have arrived (and were answered)."""
        return replace(self, after_messages=messages, label=f"{self.label} after {messages} messages")

    def _settings(self) -> dict[str, Any]:
        values = {f.name: (getattr(self, f.name), f.default) for f in fields(self) if f.name != "label"}
        return {name: value for name, (value, default) in values.items() if value != default}

    # The upgrade

    @classmethod
    def slow_upgrade(cls, seconds: float) -> Fault:
        """Answer the upgrade request `seconds` after it arrived."""
        return cls(label=f"slow upgrade {seconds} s", upgrade_delay=seconds)

    @classmethod
    def hold_upgrade(cls, release: asyncio.Event) -> Fault:
        """Answer the upgrade request once `release` is set."""
        return cls(label="hold upgrade", upgrade_release=release)

    @classmethod
    def never_answer(cls) -> Fault:
        """Read the upgrade request, keep TCP open, and never answer."""
        return cls(label="never answer", answer=UpgradeReply.NEVER)

    @classmethod
    def refuse(cls, status: int, *, headers: Mapping[str, str] | None = None, body: str = "") -> Fault:
        """Answer with an HTTP status other than 101, the given headers and a UTF-8 body; then end TCP."""
        return cls(
            label=f"refuse {status}", answer=UpgradeReply.BYTES, response=_http_response(status, headers or {}, body)
        )

    @classmethod
    def too_many_requests(cls, retry_after: int | str) -> Fault:
        """Answer 429 with `Retry-After`: seconds, or an HTTP date."""
        return cls.refuse(429, headers={"Retry-After": str(retry_after)}, body="slow down")

    @classmethod
    def garbage(cls, data: bytes = b"\x16\x03\x01 this is not HTTP\r\n\r\n") -> Fault:
        """Answer with bytes that are not HTTP, then end TCP."""
        return cls(label="garbage", answer=UpgradeReply.BYTES, response=data)

    @classmethod
    def odd_answer(cls, data: bytes, *, keep_open: bool = False) -> Fault:
        """Answer with these bytes, unchecked; then end TCP, or never do."""
        return cls(label=f"answer {data[:30]!r}", answer=UpgradeReply.BYTES, response=data, keep_open=keep_open)

    @classmethod
    def odd_head(
        cls,
        label: str = "odd head",
        *,
        status_line: str = "",
        headers: Iterable[tuple[str, str | None]] = (),
        interim: bytes = b"",
    ) -> Fault:
        """Send a 101 that is written in another way.

        `status_line` is its first line. `headers` are instead of those with the same names, also several of one name;
        None leaves one out. `interim` stands before it: answers like `HTTP/1.1 103 Early Hints`, with their heads' end.
        """
        return cls(label=label, status_line=status_line, headers=tuple(headers), interim=interim)

    @classmethod
    def in_pieces(cls, piece: int = 1, pause: float = 0.0) -> Fault:
        """Write the answer to the upgrade, and the frames that come with it, in pieces of so many bytes.

        One piece is written each `pause` seconds, or in each turn of the loop. Other writes wait.
        """
        return cls(label=f"in pieces of {piece}", piece=piece, pause=pause)

    @classmethod
    def truncated_upgrade(cls, keep: int = 40) -> Fault:
        """Send the first `keep` bytes of the 101, then end TCP."""
        return cls(label=f"upgrade truncated to {keep} bytes", answer=UpgradeReply.TRUNCATE, keep=keep)

    @classmethod
    def reset_during_upgrade(cls) -> Fault:
        """Reset TCP (RST) instead of answering."""
        return cls(label="reset during upgrade", answer=UpgradeReply.RESET)

    @classmethod
    def wrong_accept(cls, value: str = "bm90IHRoZSByaWdodCBrZXkhISE=") -> Fault:
        """Send a 101 whose Sec-WebSocket-Accept doesn't match the client's key."""
        return cls(label="wrong accept", headers=(("Sec-WebSocket-Accept", value),))

    @classmethod
    def unrequested_subprotocol(cls, name: str = "unrequested") -> Fault:
        """Send a 101 that selects a subprotocol the client didn't offer."""
        return cls(label="unrequested subprotocol", headers=(("Sec-WebSocket-Protocol", name),))

    @classmethod
    def unrequested_extension(cls, name: str = "x-unrequested") -> Fault:
        """Send a 101 that turns on an extension the client didn't offer."""
        return cls(label="unrequested extension", headers=(("Sec-WebSocket-Extensions", name),))

    # The end of the connection

    @classmethod
    def accept_then_close(cls, code: int = 1000, reason: str = "") -> Fault:
        """Upgrade, then start a proper close handshake at once. `code` must be one that may be sent."""
        return cls(label=f"accept, close {code}", then=FaultAction.CLOSE, close_code=code, close_reason=reason)

    @classmethod
    def accept_then_drop(cls) -> Fault:
        """Upgrade, then end TCP at once without a CLOSE frame."""
        return cls(label="accept, drop", then=FaultAction.DROP)

    @classmethod
    def accept_then_reset(cls) -> Fault:
        """Upgrade, then reset TCP (RST) at once."""
        return cls(label="accept, reset", then=FaultAction.RESET)

    @classmethod
    def half_open(cls, after_messages: int = 0) -> Fault:
        """Go silent after so many messages: TCP stays open, nothing is answered any more."""
        return cls(label="half-open", then=FaultAction.SILENCE, after_messages=after_messages)

    @classmethod
    def mute(cls, after_messages: int = 0) -> Fault:
        """Send no message any more after so many were received, but read on, and answer PINGs and CLOSE."""
        return cls(label="mute", then=FaultAction.MUTE, after_messages=after_messages)

    @classmethod
    def stop_reading(cls, after_messages: int = 0) -> Fault:
        """Stop reading after so many messages, so that back-pressure reaches the client. Writing goes on."""
        return cls(label="stop reading", then=FaultAction.STOP_READING, after_messages=after_messages)

    @classmethod
    def never_acknowledge_close(cls) -> Fault:
        """Ignore the client's CLOSE frame and keep TCP open."""
        return cls(label="never acknowledge close", close_reply=CloseReply.NEVER)

    @classmethod
    def keep_tcp_after_close(cls) -> Fault:
        """Complete the close handshake, but never end TCP."""
        return cls(label="keep TCP after close", close_reply=CloseReply.KEEP_TCP)

    @classmethod
    def no_pong(cls) -> Fault:
        """Never answer a PING."""
        return cls(label="no pong", pongs=False)

    # Frames

    @classmethod
    def raw(cls, data: bytes, label: str = "raw") -> Fault:
        """Write these bytes in a single write."""
        return cls(label=label, frames=data)

    @classmethod
    def burst(cls, messages: Iterable[str | bytes]) -> Fault:
        """Send all the messages in a single write."""
        return cls.raw(b"".join(map(encode_message, messages)), "burst")

    @classmethod
    def greeting(cls, *messages: str | bytes, separate_write: bool = False) -> Fault:
        """Send the messages right after the upgrade: in one write with the 101, or in a write of the next turn."""
        frames = b"".join(map(encode_message, messages))
        return cls(
            label="separate greeting" if separate_write else "greeting", frames=frames, separate_write=separate_write
        )

    @classmethod
    def slow_message(cls, message: str | bytes, rate: float, piece: int = 4096) -> Fault:
        """Send one message at `rate` bytes per second, a `piece` at a time; PONGs wait behind it."""
        slow = cls.in_pieces(piece, piece / rate)
        return replace(slow, frames=encode_message(message), label=f"slow message at {rate:g} B/s")

    @classmethod
    def final_block(cls) -> Fault:
        """End every compressed message with a final DEFLATE block (RFC 7692, section 7.2.3.4)."""
        return cls(label="final block", final_blocks=True)

    @classmethod
    def oversize_frame(cls, size: int = (16 << 20) + 1) -> Fault:
        """Send one binary frame of `size` bytes."""
        return cls.raw(encode_frame(Opcode.BINARY, bytes(size)), f"oversize frame {size}")

    @classmethod
    def oversize_by_fragments(cls, size: int = (16 << 20) + 1, fragment: int = 64 << 10) -> Fault:
        """Send one binary message of `size` bytes in frames of at most `fragment` bytes."""
        sizes = [min(fragment, size - start) for start in range(0, size, fragment)]
        parts = [
            encode_frame(Opcode.BINARY if i == 0 else Opcode.CONTINUATION, bytes(n), fin=i == len(sizes) - 1)
            for i, n in enumerate(sizes)
        ]
        return cls.raw(b"".join(parts), f"oversize by fragments {size}")

    @classmethod
    def truncated_frame(cls) -> Fault:
        """Send a text frame that says 100 bytes and has 10, then end TCP."""
        data = encode_frame(Opcode.TEXT, b"0123456789", claimed_length=100)
        return cls(label="truncated frame", frames=data, then=FaultAction.DROP)

    @classmethod
    def invalid_utf8(cls, *, split: bool = False) -> Fault:
        """Send text that isn't UTF-8; with `split`, the bad sequence straddles two fragments."""
        if not split:
            return cls.raw(encode_frame(Opcode.TEXT, b"caf\xe9 \xff"), "invalid UTF-8")
        first = encode_frame(Opcode.TEXT, b"price: \xe2\x82", fin=False)
        return cls.raw(first + encode_frame(Opcode.CONTINUATION, b"\x28"), "invalid UTF-8, split")

    @classmethod
    def masked_frame(cls) -> Fault:
        """Send a masked text frame, which a server must not (RFC 6455, section 5.1)."""
        return cls.raw(encode_frame(Opcode.TEXT, b"masked", mask=b"\x01\x02\x03\x04"), "masked frame")

    @classmethod
    def reserved_bits(cls, bits: int = 0b100) -> Fault:
        """Send a text frame with RSV1-3 set (`bits` from 1 to 7) though no extension gives them a meaning."""
        return cls.raw(encode_frame(Opcode.TEXT, b"reserved", reserved=bits), "reserved bits")

    @classmethod
    def orphan_continuation(cls) -> Fault:
        """Send a continuation frame when no message is under way."""
        return cls.raw(encode_frame(Opcode.CONTINUATION, b"orphan"), "orphan continuation")

    @classmethod
    def text_within_fragments(cls) -> Fault:
        """Start a fragmented message, then start another one before it has ended."""
        first = encode_frame(Opcode.TEXT, b"first", fin=False)
        return cls.raw(first + encode_frame(Opcode.TEXT, b"second"), "text within fragments")

    @classmethod
    def bad_close_code(cls, code: int = 1005) -> Fault:
        """Send a CLOSE frame with a code that must not be sent: 999, 1004, 1005, 1006, 1015, 5000 ..."""
        return cls(label=f"bad close code {code}", frames=encode_close(code), sends_close=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimit:
    """Limit on the sessions of a server at once.

    `surplus` is the fault of a connection beyond the limit: by default it is upgraded
    and closed with 1008; `Fault.refuse(429)` refuses the upgrade. A session that ends without a complete
    close handshake leaves a *ghost* that keeps its place for `ghost_seconds` more, and one that was closed in order
    keeps it for `ghost_seconds_after_close`.
    """

    max_connections: int = 1
    surplus: Fault = field(default_factory=lambda: Fault.accept_then_close(1008, "connection limit exceeded"))
    ghost_seconds: float = 0.0
    ghost_seconds_after_close: float = 0.0


@dataclass(frozen=True, slots=True)
class MessageLimit:
    """Limit on the messages of a connection: at most `messages` in any `per` seconds; one more closes it.

    `counts(message)`: whether a message counts (default: each does). `pings`: PINGs and PONGs count, too.
    """

    messages: int
    per: float = 1.0
    code: int = 1008
    reason: str = "Too many requests"
    counts: Callable[[Data], bool] | None = None
    pings: bool = False


def _http_response(status: int, headers: Mapping[str, str], body: str) -> bytes:
    if status == http.HTTPStatus.SWITCHING_PROTOCOLS:
        raise ValueError("101 accepts the upgrade: it can't refuse it")
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    payload = body.encode()
    default = {"Connection": "close", "Content-Length": str(len(payload))}
    lines = [f"{name}: {value}" for name, value in {**default, **headers}.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} {phrase}", *lines, "", ""])
    return head.encode("latin-1") + payload
