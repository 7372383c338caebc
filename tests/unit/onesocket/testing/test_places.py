"""The places of a connection limit, on virtual time."""

import asyncio

from onesocket.testing import ConnectionLimit, run_virtual
from onesocket.testing._places import Places

LIMIT = ConnectionLimit(max_connections=2, ghost_seconds=5.0, ghost_seconds_after_close=1.0)


def test_ghosts_keep_places_for_their_time() -> None:
    async def main() -> None:
        places = Places()
        for number in (1, 2):
            assert not places.is_full(LIMIT)
            places.take(number)
        places.leave(1, LIMIT, clean=False)
        places.leave(2, LIMIT, clean=True)
        places.leave(3, LIMIT, clean=True)  # one that had no place
        assert (places.taken, places.ghosts, places.is_full(LIMIT)) == (0, 2, True)
        await asyncio.sleep(1.5)
        assert (places.ghosts, places.is_full(LIMIT)) == (1, False)
        await asyncio.sleep(3.0)
        assert places.ghosts == 1
        await asyncio.sleep(1.0)
        assert places.ghosts == 0
        assert repr(places) == "<Places taken=0 ghosts=0>"

    run_virtual(main)


def test_without_a_limit_no_place_is_missing() -> None:
    async def main() -> None:
        places = Places()
        places.take(1)
        assert not places.is_full(None)
        places.leave(1, None, clean=False)
        assert (places.taken, places.ghosts) == (0, 0)

    run_virtual(main)
