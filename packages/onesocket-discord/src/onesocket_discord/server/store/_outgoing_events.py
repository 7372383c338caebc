"""Events that are stored with the changes that they tell of, until a server has passed them on.

A server that is killed after a commit leaves them to the others. Their numbers are in the order of the commits wherever
one commit waited for another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import BigInteger, Column, Connection, Identity, LargeBinary, MetaData, Table, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

_TABLE = Table(
    "outgoing_events",
    MetaData(),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
_MOST_AT_ONCE = 256
_OLDEST = select(_TABLE).order_by(_TABLE.c.id).limit(_MOST_AT_ONCE).with_for_update()

Append = Callable[[Sequence[tuple[int | None, bytes]]], Awaitable[None]]


def prepare_outgoing_events(connection: Connection, *, shared: bool) -> None:
    """Make the table for servers that share a database; one that is alone has nobody to pass events to."""
    if shared:
        _TABLE.create(connection, checkfirst=True)
    else:
        _TABLE.drop(connection, checkfirst=True)


async def store_outgoing_events(connection: AsyncConnection, bodies: Sequence[bytes]) -> None:
    """Store events in the transaction of their changes, as its last statement: then it holds all of its locks."""
    await connection.execute(insert(_TABLE), [{"body": body} for body in bodies])


async def pass_on_events(connection: AsyncConnection, append: Append) -> bool:
    """Pass the oldest events to `append`, in order, and remove them; returns False if there were none.

    `append` may get the same event twice, if a server ended before the commit of its removal.
    """
    rows = (await connection.execute(_OLDEST)).all()
    if rows:
        await append([(row.id, row.body) for row in rows])
        await connection.execute(delete(_TABLE).where(_TABLE.c.id.in_([row.id for row in rows])))
    return bool(rows)
