"""Members of a cluster on a NATS server that has lost its streams, or the newest of what was in them."""

import shutil
from pathlib import Path

import pytest

from onesocket.errors import Fenced
from onesocket.sharing.cluster._coordinator import START, Position, PreviousEpoch, Record, RecordKind
from onesocket.sharing.cluster._nats_coordinator import NatsCoordinator
from tests.support.coordinator_checks import close, follow_all, lead
from tests.support.engine_members import KEY
from tests.support.engine_members import NATS_BASE as BASE
from tests.support.engine_members import NATS_STREAM as STREAM
from tests.support.nats_members import eventually, pair, payloads
from tests.support.nats_server import ask, delete_streams, nats_server


async def test_members_hear_that_the_engine_has_lost_everything(tmp_path: Path) -> None:
    with nats_server(data=tmp_path) as server:
        raw = await server.client()
        a, b = pair(server)
        e = await lead(a)
        await a.publish(Position(e, 1), b"x")
        assert len(await follow_all(b, Position(e, 0), 1)) == 1
        await delete_streams(raw)
        assert not await a.renew(e, 9)
        with pytest.raises(Fenced):
            await a.publish(Position(e, 2), b"x")
        assert await a.follow(Position(e, 1), START, 0) == [Record(RecordKind.MISSED, START)]
        f = await lead(a, e, PreviousEpoch.LOST)
        kinds = [(each.kind, each.missed) for each in await follow_all(a, Position(e, 1), 2)]
        assert kinds == [(RecordKind.MISSED, None), (RecordKind.BEGAN, None)]
        await a.aclose()
        c = NatsCoordinator(server.url).open(KEY, "c")
        await c.submit(Position(f, 1), b"x")
        await close(b, c)
        await raw.close()


async def test_a_leader_is_refused_once_its_stream_was_deleted_and_made_anew(tmp_path: Path) -> None:
    with nats_server(data=tmp_path) as server:
        raw = await server.client()
        a, b = pair(server)
        e = await lead(a)
        await delete_streams(raw)
        f = await lead(b)  # as many writes as of a
        assert not await a.renew(e, 60)
        with pytest.raises(Fenced):
            await a.publish(Position(e, 1), b"of a")
        assert [each.payload for each in await follow_all(b, START, 1)] == [b""]
        assert await b.renew(f, 60)
        await close(a, b)
        await raw.close()


async def test_a_leader_is_refused_where_the_lease_of_another_one_has_got_its_sequence(tmp_path: Path) -> None:
    with nats_server(data=tmp_path / "data") as first:
        port = first.port
        a, b = pair(first)
        e = await lead(a)
        first.process.kill()
        first.process.wait()
    shutil.copytree(tmp_path / "data", tmp_path / "older")
    with nats_server(data=tmp_path / "data", port=port):
        await eventually(a.lease)
        assert await a.renew(e, 60)
    with nats_server(data=tmp_path / "older", port=port) as older:
        raw = await older.client()
        assert (await ask(raw, f"STREAM.PURGE.{STREAM}", filter=BASE + "lease"))["purged"] == 1
        f = await eventually(lambda: lead(b, e, PreviousEpoch.EXPIRED))  # the next sequence, as that renewal
        with pytest.raises(Fenced) as superseded:
            await eventually(lambda: a.publish(Position(e, 1), b"1"))
        assert superseded.value.newer == f
        assert await payloads(raw) == [b"", b""]
        await raw.close()
        await close(a, b)


@pytest.mark.parametrize("is_renewed", [False, True])
async def test_the_leader_hears_that_the_engine_has_lost_its_newest_records(is_renewed: bool, tmp_path: Path) -> None:
    with nats_server(data=tmp_path / "data") as first:
        port = first.port
        a, b = pair(first)
        e = await lead(a)
        await a.publish(Position(e, 1), b"1")
        first.process.kill()
        first.process.wait()
    shutil.copytree(tmp_path / "data", tmp_path / "older")
    with nats_server(data=tmp_path / "data", port=port):
        await eventually(a.lease)
        await a.publish(Position(e, 2), b"2")
        await eventually(b.lease)
        assert len(await follow_all(b, Position(e, 0), 2)) == 2
        if is_renewed:
            assert await a.renew(e, 60)
    with nats_server(data=tmp_path / "older", port=port):
        await eventually(b.lease)
        assert await b.follow(Position(e, 2), START, 0) == [Record(RecordKind.MISSED, Position(e, 1))]
        await eventually(a.lease)
        with pytest.raises(Fenced, match="lost records"):
            await a.publish(Position(e, 3), b"3")
        await lead(a, e, PreviousEpoch.RELEASED)
        assert [each.kind for each in await follow_all(b, Position(e, 2), 2)] == [RecordKind.BATCH, RecordKind.BEGAN]
        kinds = [(each.kind, each.missed) for each in await follow_all(b, Position(e, 1), 3)]
        assert kinds == [(RecordKind.MISSED, 1), (RecordKind.BATCH, None), (RecordKind.BEGAN, None)]
        await close(a, b)
