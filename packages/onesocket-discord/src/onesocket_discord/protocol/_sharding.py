"""Shards: their numbers, and the shard of a guild."""

from __future__ import annotations

from onesocket.errors import InvalidOption

Shard = tuple[int, int]
"""(shard id, number of shards). One connection serves up to 2 500 guilds; beyond that shards are required (4011)."""


def shard_of(guild_id: int | str, shards: int) -> int:
    """Return the shard that receives the events of this guild; direct messages go to shard 0."""
    if shards < 1:
        raise InvalidOption(f"the number of shards must be at least 1, not {shards}")
    try:
        return (int(guild_id) >> 22) % shards
    except ValueError:
        raise InvalidOption(f"a guild id is a number, not {guild_id!r}") from None


def checked_shard(value: object) -> Shard | None:
    """Return `value` as (shard id, number of shards). Raises `InvalidOption`."""
    if value is None:
        return None
    match value:
        case [int(number), int(count)] if 0 <= number < count and bool not in {type(number), type(count)}:
            return number, count
        case _:
            raise InvalidOption(f"shard must be (id, number of shards) with 0 <= id < number, not {value!r}")
