"""Makes the part of a client that keeps messages on disk, which imports sqlite3."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import OnesocketError
from ._fan_out import FanOut
from ._options import Options
from ._sender import Sender

if TYPE_CHECKING:
    from ._durable_messages import DurableMessages


def make_durable_messages(
    options: Options,
    sender: Sender,
    fan_out: FanOut,
    *,
    refusal: Callable[[], OnesocketError | None],
    report: Callable[[BaseException, str, bool], None],
) -> DurableMessages | None:
    """Return the messages of the `DurableOutbox` in these options, wired to both; None: there is no such outbox."""
    if options.durable_outbox is None:
        return None
    from ._durable_messages import DurableMessages  # noqa: PLC0415 - most programs need no sqlite3

    durable = DurableMessages(
        options.durable_outbox,
        options.protocol.acknowledges,
        shown_url=options.shown_url,
        refusal=refusal,
        report=report,
    )
    sender.set_stored(durable)
    fan_out.watch(durable.received)
    return durable
