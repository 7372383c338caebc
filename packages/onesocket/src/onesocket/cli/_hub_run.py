"""A hub in a process of its own: it runs until a signal, or until its upstream has failed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from ..errors import UsageError
from ._option_names import with_option_names
from ._stop_signal import StopSignal
from ._usage import EXIT_FAILED, show_error

if TYPE_CHECKING:
    from ..hub import Hub


async def run_hub(make: Callable[[], Hub]) -> int:
    """Run a hub until a signal, or until its upstream has failed; returns the status to exit with.

    Raises `UsageError` for options that `make` refuses.
    """
    from ..errors import OnesocketError

    stop = StopSignal()
    loop = asyncio.get_running_loop()
    hub = make()
    with contextlib.suppress(AttributeError, NotImplementedError):  # Windows has no such signal
        loop.add_signal_handler(signal.SIGUSR1, hub.rotate)
    stopping = loop.create_task(stop.wait())
    starting = loop.create_task(hub.start())
    failing: asyncio.Task[OnesocketError] | None = None
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
            return 0
        await starting
        _announce(hub)
        failing = loop.create_task(hub.until_failed())
        await asyncio.wait((failing, stopping), return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            typer.echo("stopping: clients are closed, then the upstream", err=True)
        else:
            show_error(with_option_names(f"the upstream has failed: {failing.result()}"))
        await hub.stop()
    except UsageError:
        raise
    except OnesocketError as error:
        show_error(with_option_names(str(error)))
        return EXIT_FAILED
    finally:
        for task in (stopping, failing):
            if task is not None:
                task.cancel()
    return 0 if stop.is_set() else EXIT_FAILED


def _announce(hub: Hub) -> None:
    status = hub.status
    chosen = f", sub-protocol {hub.subprotocol}" if hub.subprotocol else ""
    typer.echo(f"upstream  {status.url} ({status.state.value}{chosen})")
    if hub.options.metrics is not None:
        typer.echo(f"metrics   http://{hub.metrics_endpoint}/metrics")
    endpoint = hub.endpoint
    typer.echo(f"ready     {endpoint if endpoint.path else hub.url}")
    sys.stdout.flush()
