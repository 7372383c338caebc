"""Reports of messages, for the server's owner."""

from __future__ import annotations

import logging

from sqlalchemy import func, insert, select, update

from ...protocol._snowflakes import iso_timestamp
from .._api_error import ApiError, invalid_field
from .._field_reader import FieldReader
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import reports, users
from ._access import channel_access
from ._message_history import find_message
from ._service_context import Service, transaction

log = logging.getLogger("onesocket_discord.server")

_MAX_OPEN = 50
"""Open reports of one user, so that nobody fills the list."""


class ReportService(Service):
    """Stores reports with the message as it was then, and lists and closes them for the server's owner."""

    @transaction
    async def create(self, work: UnitOfWork, account: Account, channel_id: int, message_id: int, body: Json) -> Json:
        """Report somebody else's message, with a ``reason``; reporting it again changes nothing."""
        fields = FieldReader(body)
        reason = fields.text("reason", most=512) or ""
        fields.check()
        access = await channel_access(work.connection, account, channel_id)
        message = await find_message(work.connection, channel_id, message_id)
        if message.author_id == account.user_id:
            raise invalid_field("message_id", "REPORT_OWN_MESSAGE", "You can't report your own message.")
        mine = reports.c.reporter_id == account.user_id
        known = await work.scalar(select(reports.c.id).where(mine, reports.c.message_id == message_id))
        if known is not None:
            return {"id": str(known)}
        count = await work.scalar(select(func.count()).where(mine, reports.c.closed_at.is_(None))) or 0
        if count >= _MAX_OPEN:
            raise ApiError(400, 0, f"Maximum number of open reports reached ({_MAX_OPEN})")
        report_id = self._context.ids.next()
        row = {
            "id": report_id,
            "reporter_id": account.user_id,
            "guild_id": access.guild_id,
            "channel_id": channel_id,
            "message_id": message_id,
            "author_id": message.author_id,
            "content": message.content,
            "reason": reason,
            "created_at": self._context.ids.now(),
        }
        await work.execute(insert(reports).values(row))
        # Without the text of either: `onesocket serve report list` shows it.
        place = (report_id, message_id, message.author_id, channel_id, account.user_id)
        work.after_commit(lambda: log.warning("report %d: message %d of %d in channel %d, reported by %d", *place))
        return {"id": str(report_id)}

    async def list_open(self) -> list[Json]:
        """The reports that are not closed, the oldest first."""
        author, reporter = users.alias("author"), users.alias("reporter")
        wanted = (
            select(reports, author.c.username.label("author"), reporter.c.username.label("reporter"))
            .join(reporter, reporter.c.id == reports.c.reporter_id)
            .outerjoin(author, author.c.id == reports.c.author_id)
            .where(reports.c.closed_at.is_(None))
            .order_by(reports.c.id)
        )
        async with self.reading() as connection:
            rows = (await connection.execute(wanted)).all()
        return [
            {
                "id": str(row.id),
                "created_at": iso_timestamp(row.created_at),
                "author": row.author,
                "reporter": row.reporter,
                "channel_id": str(row.channel_id),
                "message_id": str(row.message_id),
                "reason": row.reason,
                "content": row.content,
            }
            for row in rows
        ]

    @transaction
    async def close(self, work: UnitOfWork, report_id: int) -> None:
        """Close a report. `ApiError` (50035) if none with this id is open."""
        this = update(reports).where(reports.c.id == report_id, reports.c.closed_at.is_(None))
        if not (await work.execute(this.values(closed_at=self._context.ids.now()))).rowcount:
            raise invalid_field("id", "REPORT_UNKNOWN", f"There is no open report {report_id}.")
