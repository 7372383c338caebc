"""The shared connections of this process: one for each key, found from any thread."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, TypeGuard

from .._forking import ForkGuard, pause_before_fork, replace_with_null_device, reset_in_child
from ..errors import UsageError
from ..protocols._protocol import Protocol
from ._connection_key import ConnectionKey
from ._exit_hook import ExitHook
from ._host_loop import HostLoop, HostLoopThread
from ._loop_inbox import reset_inboxes
from ._main_loop import MainLoop, ProgramLoop, is_main_thread
from ._options import RequestedOptions, Scope
from ._relocation import Relocation
from ._shared_connection import SharedConnection
from ._upstream import ConnectionSpec, Upstream

_EXIT_TIMEOUT: Final = 6.0
"""Seconds for closing the connections in order when the interpreter ends."""
_PAUSE_TIMEOUT: Final = 1.0
"""Seconds for which a fork waits for clients that are just being made."""

_MAIN_LOOP: Final = "main loop"
"""Marks the keys of connections that live on a loop of the main thread, beside those of the thread."""

_MEMBER_SCOPES: Final = frozenset({"host", "cluster"})
"""Scopes in which each loop of the main thread is a member of its own, as a process is."""

LookupRunner = Callable[[Callable[[], SharedConnection | None]], SharedConnection | None]


class Registry:
    """The connections of one process: decisions are made under the lock, and carried out on the host loops."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._shared: dict[tuple[object, ...], SharedConnection] = {}
        self._thread: HostLoopThread | None = None
        self._relocation = Relocation(self.lock, self.all, self._owner_thread, self._on_idle)
        self._offers: list[HostLoop] = []
        self._is_ending = False
        self._fork_guard = ForkGuard()
        self._exit_hook = ExitHook(self.close_all)

    def __repr__(self) -> str:
        thread = "thread" if self._thread is not None else "no thread"
        return f"<Registry connections={len(self._shared)} offered={len(self._offers)} {thread}>"

    def __len__(self) -> int:
        """Number of connections, including those that are being closed."""
        return len(self._shared)

    def all(self) -> list[SharedConnection]:
        """The connections of this moment."""
        with self.lock:
            return list(self._shared.values())

    def remove_dead(self) -> None:
        """Forget connections whose event loops were closed before them, and release their sockets."""
        for shared in self.all():
            if shared.is_dead:
                with contextlib.suppress(Exception):
                    shared.upstream.break_off()
                self._forget(shared)

    @property
    def host_thread(self) -> threading.Thread | None:
        """The host loop's thread; None while there is none."""
        return self._thread.thread if self._thread is not None else None

    def find(
        self,
        spec: ConnectionSpec,
        requested: RequestedOptions,
        make: Callable[[ConnectionSpec], tuple[Upstream, Protocol]],
        *,
        scope: Scope,
        linger: float,
        loop: asyncio.AbstractEventLoop | None,
        run_lookup: LookupRunner,
    ) -> SharedConnection:
        """The connection of this key, counted for one more member. Raises `OptionConflict`, and what `make` raises.

        `run_lookup` calls the function that it is given, which counts; without a connection, it is called again.
        """
        made: tuple[Upstream, Protocol] | None = None

        def find() -> SharedConnection | None:
            with self.lock:
                self.remove_dead()
                registry_key = self._registry_key(spec.key, scope, loop)
                shared = self._shared.get(registry_key)
                if scope != "loop":
                    self._check_others(registry_key, requested)
                if _is_usable(shared):
                    shared.requested_options.check(requested, spec.key)
                elif made is None:
                    return None
                else:
                    upstream, protocol = made
                    requested.set_protocol(protocol)
                    shared = self._shared[registry_key] = SharedConnection(
                        self.lock,
                        self._forget,
                        self._host_loop(upstream, scope, loop),
                        upstream,
                        requested_options=requested,
                        tokens=spec.tokens,
                        registry_key=registry_key,
                        protocol=protocol,
                        predecessor=shared,
                    )
                    self._relocation.prepare(shared)
                    if scope in _MEMBER_SCOPES:
                        self._relocation.on_joined(shared)
                if loop is not shared.host_loop.loop and isinstance(shared.host_loop, MainLoop):
                    self._relocation.set_refuge(shared, self._owner_thread())
                shared.count += 1
                shared.linger = max(shared.linger, linger)
                return shared

        while not (found := run_lookup(find)):
            # Not under the lock: that calls functions of the program. If another thread is quicker, its one is used.
            with self._fork_guard.operation():
                made = make(spec)
        found.inbox.post(found.drop_dead_members)
        return found

    def _registry_key(
        self, key: ConnectionKey, scope: Scope, loop: asyncio.AbstractEventLoop | None
    ) -> tuple[object, ...]:
        """Where a connection is found that is joined on this loop, or is to be put."""
        if scope == "loop":
            return key, id(loop)
        if scope in _MEMBER_SCOPES and loop is not None and is_main_thread():
            # A member of the host's connection beside that of the thread, as another process: it needs no thread.
            mine = key, _MAIN_LOOP, id(loop)
            if _is_usable(self._shared.get(mine)) or not (self._is_offered or _is_usable(self._shared.get((key,)))):
                return mine
        return (key,)

    def _check_others(self, registry_key: tuple[object, ...], requested: RequestedOptions) -> None:
        """Raise `OptionConflict` if the same connection was joined elsewhere in this process with other options."""
        key: Any = registry_key[0]
        for (other_key, *place), shared in self._shared.items():
            if other_key == key and place[:1] in ([], [_MAIN_LOOP]) and _is_usable(shared):
                shared.requested_options.check(requested, key)

    def _forget(self, shared: SharedConnection) -> None:
        """Remove a connection that is gone; with the last one in it, the thread ends."""
        with self.lock:
            if self._shared.get(shared.registry_key) is shared:
                del self._shared[shared.registry_key]
            host_loop = shared.host_loop
            if isinstance(host_loop, MainLoop) and not any(
                other.host_loop is host_loop for other in self._shared.values()
            ):
                host_loop.release()
            self._stop_idle_thread()

    def _on_idle(self) -> None:
        self.remove_dead()
        self._stop_idle_thread()

    def _stop_idle_thread(self) -> None:
        thread = self._thread
        if thread is not None and not any(thread in (other.host_loop, other.refuge) for other in self._shared.values()):
            self._thread = None
            thread.stop()

    # --- host loops -------------------------------------------------------------------------------------------------

    @property
    def _is_offered(self) -> bool:
        return any(not offer.is_dead for offer in self._offers)

    def _host_loop(self, upstream: Upstream, scope: Scope, loop: asyncio.AbstractEventLoop | None) -> HostLoop:
        """The loop for a new connection that is joined on `loop`; None: in a thread without one."""
        if scope == "loop" and loop is not None:
            return HostLoop(loop)
        for offer in reversed(self._offers):
            if not offer.is_dead:
                return offer
        if self._is_ending:
            raise UsageError("the interpreter is ending; nothing can be joined any more")
        if loop is None or not (upstream.can_move or upstream.is_member) or not is_main_thread():
            return self._owner_thread()
        hosts = (shared.host_loop for shared in self._shared.values())
        found = next((host for host in hosts if isinstance(host, MainLoop) and host.loop is loop), None)
        return MainLoop(loop, self._on_loop_end) if found is None else found

    async def _on_loop_end(self, host_loop: MainLoop) -> None:
        if self is current_registry():
            await self._relocation.leave(host_loop)

    def _owner_thread(self) -> HostLoopThread:
        if self._thread is None:
            self._thread = HostLoopThread()
            self._exit_hook.watch()
        return self._thread

    @contextlib.asynccontextmanager
    async def offering(self) -> AsyncGenerator[None]:
        """Let new connections live on the running loop inside the block; at its end they are closed in order."""
        owner = ProgramLoop(asyncio.get_running_loop())
        with self.lock:
            self._offers.append(owner)
        try:
            yield
        finally:
            with self.lock:
                self._offers.remove(owner)
                mine = [shared for shared in self._shared.values() if shared.host_loop is owner]
                for shared in mine:
                    shared.is_closing = True
            await asyncio.gather(*(shared.close() for shared in mine))

    def close_all(self, timeout: float = _EXIT_TIMEOUT) -> None:
        """Close the connections of the thread in order, within `timeout`: the interpreter ends."""
        self.remove_dead()  # the collector shall find them while the interpreter is whole
        with self.lock:
            self._is_ending = True
            thread = self._thread
            mine = [shared for shared in self._shared.values() if shared.host_loop is thread]
            if thread is None or not mine:
                return
            for shared in mine:
                shared.is_closing = True
                thread.loop_inbox.post(self._close, shared)
        thread.thread.join(timeout)
        if thread.thread.is_alive():
            # Past the deadline they are reset: an open one would be a second one beside that of another process.
            for shared in self.all():
                if shared.host_loop is thread:
                    with contextlib.suppress(Exception):
                        shared.upstream.break_off()

    def _close(self, shared: SharedConnection) -> None:
        task = asyncio.get_running_loop().create_task(shared.close(), name="onesocket closes at exit")
        task.add_done_callback(lambda task: task.cancelled() or task.exception())

    # --- forks ------------------------------------------------------------------------------------------------------

    def pause_for_fork(self) -> Callable[[], None]:
        """Before a fork; returns what the parent calls after it."""
        self._fork_guard.pause_for_fork(_PAUSE_TIMEOUT)
        while True:
            thread = self._thread
            if thread is not None:
                thread.pause_for_fork()
            self.lock.acquire()
            if thread is self._thread:
                break
            # Not paused under the lock, which the thread may need before it stands still: another may have begun.
            self.lock.release()
            if thread is not None:
                thread.resume_after_fork()

        def go_on() -> None:
            self.lock.release()
            if thread is not None:
                thread.resume_after_fork()
            self._fork_guard.resume_after_fork()

        return go_on

    def close_inherited(self) -> None:
        """In a forked child: the parent's sockets are closed here, without a word on the wire."""
        found: list[int] = []
        for shared in self._shared.values():
            with contextlib.suppress(Exception):
                found.extend(shared.upstream.file_descriptors())
            with contextlib.suppress(Exception):
                found.extend(shared.host_loop.descriptors())
        if self._thread is not None:  # connections may be about to move there
            with contextlib.suppress(Exception):
                found.extend(self._thread.descriptors())
        replace_with_null_device(found)


def _is_usable(shared: SharedConnection | None) -> TypeGuard[SharedConnection]:
    return shared is not None and not shared.is_closing


_registries: Final = [Registry()]
"""The registry of this process, then those that it inherited: kept, so that no destructor of the parent's objects runs
in the child."""


def _start_anew() -> None:
    old = _registries[0]
    _registries[:1] = [Registry(), old] if len(old) else [Registry()]
    reset_inboxes()
    old.close_inherited()


pause_before_fork(lambda: current_registry().pause_for_fork())
reset_in_child(_start_anew)
atexit.register(lambda: current_registry().close_all())


def current_registry() -> Registry:
    """The registry of this process; a forked child has one of its own."""
    return _registries[0]


def offer_loop() -> contextlib.AbstractAsyncContextManager[None]:
    """Let new connections live on the running loop, inside an ``async with`` block, wherever they are joined first.

    At the end of the block (which is also reached when `asyncio.run` ends) those connections are closed in order, and
    their clients become `CLOSED`; a later `join()` gets a new connection. Without it, one that is joined first on the
    loop of the main thread lives there, too, but moves to a thread if others share it when that loop ends; with the
    scopes "host" and "cluster" another process, thread or host has it then.
    """
    return current_registry().offering()
