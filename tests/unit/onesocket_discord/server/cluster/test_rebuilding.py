"""A session rebuilt from its record and the stream is what it was on its first server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from onesocket_discord._serving import EncodedDispatch, GatewayOptions
from onesocket_discord.protocol._intents import Intents
from onesocket_discord.server._cluster_entry import (
    EntryOfAccount,
    EntryOfEvent,
    EntryOfPresence,
    EntryOfSignOut,
    decode_entry,
    encode_entry,
)
from onesocket_discord.server._ports import Account, Event
from onesocket_discord.server.cluster._event_stream import StreamId
from onesocket_discord.server.cluster._rebuilding import SessionRebuilder
from onesocket_discord.server.cluster._session_records import Checkpoint, SessionRecord
from onesocket_discord.server.gateway._published_dispatch import PublishedDispatch
from onesocket_discord.server.gateway._session import GatewaySession

ME, OTHER = 7, 8
GUILDS = [str(n << 22) for n in range(1, 5)]
INTENTS = int(Intents.GUILDS | Intents.GUILD_MESSAGES)
OPTIONS = GatewayOptions()


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Events that the session may see, wholly or not, and others."""
    body = {"guild_id": draw(st.sampled_from(GUILDS)), "content": draw(st.text(max_size=3)), "mentions": []}
    return Event(
        "MESSAGE_CREATE",
        body,
        frozenset(draw(st.sampled_from([(ME,), (OTHER,), (ME, OTHER)]))),
        intents=draw(st.sampled_from([0, int(Intents.GUILD_MESSAGES), int(Intents.GUILD_MESSAGE_TYPING)])),
        content_of=draw(st.sampled_from([None, OTHER])),
    )


own_dispatches = st.tuples(st.just("own"), st.integers(1, 3), st.lists(events(), max_size=3))
"""Dispatches for the session alone, and the events that come while they are recorded."""
steps = st.lists(
    st.one_of(st.tuples(st.just("event"), events()), own_dispatches, st.just(("checkpoint",))), max_size=30
)


def new_session() -> GatewaySession:
    return GatewaySession(Account(ME, "me", bot=True), b"", INTENTS, (1, 2), OPTIONS)


@dataclass
class FirstServer:
    """Has the session, reads the stream, and records what the session alone is sent."""

    session: GatewaySession = field(default_factory=new_session)
    stream: list[bytes] = field(default_factory=list)
    own: dict[int, EncodedDispatch] = field(default_factory=dict)
    checkpoints: list[Checkpoint] = field(default_factory=lambda: [Checkpoint(0, StreamId(1, 0))])

    def publish(self, event: Event) -> None:
        self.stream.append(encode_entry(EntryOfEvent.of(event)))
        if ME in event.recipients:
            self.session.offer(PublishedDispatch(event))

    async def push(self, count: int, meanwhile: list[Event]) -> None:
        async with self.session.paused():
            dispatches = [EncodedDispatch("OWN", {"n": n, "of": len(self.stream)}) for n in range(count)]
            self.own |= dict(enumerate(dispatches, self.session.seq + 1))
            for event in meanwhile:
                self.publish(event)
            for dispatch in dispatches:
                self.session.push(dispatch)

    async def play(self, played: list[tuple[object, ...]]) -> None:
        await self.push(2, [])  # READY and a guild
        for step in played:
            match step:
                case ("event", Event() as event):
                    self.publish(event)
                case ("own", int() as count, list() as meanwhile):
                    await self.push(count, meanwhile)
                case _:
                    self.checkpoints.append(Checkpoint(self.session.seq, StreamId(1, len(self.stream))))


def payloads(session: GatewaySession, seq: int) -> list[bytes]:
    return list(session.missed(seq))


@settings(deadline=None)
@given(steps, st.data())
def test_from_any_checkpoint_the_numbers_are_the_same(played: list[tuple[object, ...]], data: st.DataObject) -> None:
    first = FirstServer()
    asyncio.run(first.play(played))
    checkpoint = data.draw(st.sampled_from(first.checkpoints))
    seq = data.draw(st.integers(checkpoint.seq, first.session.seq))
    record = SessionRecord(ME, INTENTS, (1, 2), checkpoint, checkpoint, first.own)
    rebuilt = new_session()
    rebuilder = SessionRebuilder(rebuilt, record, checkpoint)
    for page in pages(first.stream[checkpoint.at.number :]):
        rebuilder.read(page)
    rebuilder.finish()
    assert rebuilt.seq == first.session.seq
    assert payloads(rebuilt, seq) == payloads(first.session, seq)


def pages(bodies: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(bodies), 2):
        yield bodies[start : start + 2]


def test_a_session_whose_user_was_signed_out_is_not_continued() -> None:
    start = Checkpoint(0, StreamId(1, 0))
    for entry, is_out in (
        (EntryOfSignOut(ME, None), True),
        (EntryOfSignOut(ME, b"another login"), False),
        (EntryOfSignOut(OTHER, None), False),
        (EntryOfPresence("node", ME, None), False),
        (EntryOfAccount(ME, invalidates=True), True),
        (EntryOfAccount(OTHER, invalidates=True), False),
        (EntryOfAccount(ME), False),
    ):
        record = SessionRecord(ME, INTENTS, (1, 2), start, start, {})
        rebuilder = SessionRebuilder(new_session(), record, start)
        rebuilder.read([encode_entry(entry), b"\xc1", encode_entry(("of a later release",))])
        assert rebuilder.signed_out is is_out


def test_the_older_checkpoint_serves_a_client_that_is_further_behind() -> None:
    older, newer = Checkpoint(3, StreamId(1, 5)), Checkpoint(9, StreamId(1, 50))
    record = SessionRecord(ME, INTENTS, (0, 1), older, newer, {})
    assert [record.checkpoint_for(seq) for seq in (3, 8, 9, 12)] == [older, older, newer, newer]


def test_an_entry_is_an_event_again() -> None:
    event = Event("X", {"id": "1", "n": None}, frozenset({1, 2**62}), 5, 2**62)
    entry = decode_entry(encode_entry(EntryOfEvent.of(event)))
    assert isinstance(entry, EntryOfEvent)
    assert entry.event == event


def test_an_entry_of_an_earlier_release_invalidates_nothing() -> None:
    entry = decode_entry(msgspec.msgpack.encode(["account", ME]))
    assert entry == EntryOfAccount(ME, invalidates=False)
