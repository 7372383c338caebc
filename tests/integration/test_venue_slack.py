"""The fake of Slack's Socket Mode, asked by a client of another project."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from onesocket.testing import ConnectionLimit
from onesocket.testing.services import Disorder, SlackVenue, VenueEvent
from tests.support.venue_peer import DEADLINE, VenuePeer, dial


@pytest.fixture
async def venue() -> AsyncIterator[SlackVenue]:
    async with SlackVenue(ack_timeout=0.02, retries=1000) as running:
        yield running


async def call(url: str, method: str = "POST", **headers: str) -> Any:
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as client:
        return (await client.request(method, url, headers=headers)).json()


async def acknowledge(peer: VenuePeer, **fields: Any) -> Any:
    message = await peer.receive()
    await peer.send({"envelope_id": message["envelope_id"], **fields})
    return message


async def test_each_connection_needs_an_address_of_its_own(venue: SlackVenue) -> None:
    opened = await call(venue.open_url, authorization="Bearer xapp-token")
    assert opened["ok"] is True
    async with dial(opened["url"]) as peer:
        hello = await peer.receive()
        assert (hello["type"], hello["num_connections"], hello["connection_info"]) == ("hello", 1, {"app_id": "A0"})
        for url in (opened["url"], venue.url):
            with pytest.raises(InvalidStatus, match="404"):
                async with dial(url):
                    pass
        async with dial(venue.new_url()) as second:
            assert (await second.receive())["num_connections"] == 2
    assert venue.ledger.most_signed_in == {"A0": 2}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, "not_authed"),
        ({"authorization": "Basic eA=="}, "not_authed"),
        ({"authorization": "Bearer xapp-other"}, "invalid_auth"),
        ({"method": "GET"}, "insecure_request"),
    ],
)
async def test_addresses_are_refused(venue: SlackVenue, options: dict[str, Any], error: str) -> None:
    assert await call(venue.open_url, **options) == {"ok": False, "error": error}


async def test_an_envelope_is_sent_until_it_is_acknowledged(venue: SlackVenue) -> None:
    async with dial(venue.new_url()) as peer:
        await peer.receive()
        envelope = venue.push({"event": 1}, accepts_response_payload=True)
        first = await peer.receive()
        assert first == {
            "envelope_id": envelope.envelope_id,
            "type": "events_api",
            "payload": {"event": 1},
            "accepts_response_payload": True,
        }
        second = await acknowledge(peer, payload={"text": "done"})
        assert second == first | {"retry_attempt": 1, "retry_reason": "timeout"}
        await envelope.settled.wait()
        assert (envelope.is_acknowledged, envelope.response) == (True, {"text": "done"})
        assert envelope.attempts >= 2
        await peer.send({"envelope_id": envelope.envelope_id}, {"envelope_id": "none"}, [])
        await venue.wait_until(lambda counts: counts.messages_received == 4)
        totals = venue.ledger.totals
        assert (totals[VenueEvent.ACKNOWLEDGED], totals[VenueEvent.REPEATED], totals[VenueEvent.REFUSED]) == (1, 1, 2)


async def test_an_envelope_that_no_client_acknowledges_is_given_up() -> None:
    async with SlackVenue(ack_timeout=0.01, retries=2) as venue, dial(venue.new_url()) as peer:
        envelope = venue.push(1)
        await envelope.settled.wait()
        assert (envelope.is_acknowledged, envelope.attempts) == (False, 3)
        assert len(venue.ledger.sent(envelope.envelope_id)) == 3
        assert [entry.key for entry in venue.ledger.of(VenueEvent.UNANSWERED)] == [envelope.envelope_id]
        assert [(await peer.receive())["type"] for _ in range(4)] == ["hello", *["events_api"] * 3]


async def test_connections_have_envelopes_by_turns_and_one_waits_for_a_connection() -> None:
    async with SlackVenue(ack_timeout=DEADLINE) as venue:
        early = venue.push("early")
        async with dial(venue.new_url()) as first:
            assert (await first.receive())["type"] == "hello"
            assert (await acknowledge(first))["payload"] == "early"
            await early.settled.wait()
            async with dial(venue.new_url()) as second:
                await second.receive()
                envelopes = [venue.push(number) for number in range(4)]
                shares = [[(await acknowledge(peer))["payload"] for _ in range(2)] for peer in (first, second)]
                assert sorted(shares[0] + shares[1]) == [0, 1, 2, 3]
                for envelope in envelopes:
                    await envelope.settled.wait()


async def test_a_hole_is_healed_by_the_retry(venue: SlackVenue) -> None:
    venue.disorder = [Disorder.HOLE]
    async with dial(venue.new_url()) as peer:
        await peer.receive()
        envelope = venue.push(1)
        assert (await acknowledge(peer))["retry_attempt"] == 1
        await envelope.settled.wait()
        assert venue.ledger.totals[VenueEvent.WITHHELD] == 1


async def test_the_end_of_a_connection_is_announced_and_another_one_overlaps(venue: SlackVenue) -> None:
    async with dial(venue.new_url()) as old:
        await old.receive()
        ending = asyncio.create_task(venue.rotate(notice=0.1))
        warning = await old.receive()
        assert (warning["type"], warning["reason"]) == ("disconnect", "warning")
        async with dial(venue.new_url()) as fresh:
            assert (await fresh.receive())["type"] == "hello"
            await ending
            messages, code, _ = await old.rest()
            assert ([each["reason"] for each in messages], code) == (["refresh_requested"], 1001)
            venue.push("after")
            assert (await acknowledge(fresh))["payload"] == "after"


async def test_a_lifetime_announces_its_end() -> None:
    async with SlackVenue(lifetime=0.04, notice=0.02) as venue, dial(venue.new_url()) as peer:
        messages, code, _ = await peer.rest()
        assert [each.get("reason") for each in messages] == [None, "warning", "refresh_requested"]
        assert code == 1001


async def test_one_connection_too_many_is_told_so() -> None:
    async with SlackVenue(account_limit=ConnectionLimit()) as venue, dial(venue.new_url()) as first:
        await first.receive()
        async with dial(venue.new_url()) as second:
            messages, code, _ = await second.rest()
            assert ([each["reason"] for each in messages], code) == (["too_many_websockets"], 1000)
        venue.push("still")
        assert (await acknowledge(first))["payload"] == "still"
