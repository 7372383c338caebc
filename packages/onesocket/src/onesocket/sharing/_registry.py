"""Which connections this process has: one for each key, found by whoever asks, from whatever thread."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Final

from .._forking import ForkGuard, pause_before_fork, replace_with_null_device, reset_in_child
from ..errors import UsageError
from ..protocols._protocol import Protocol
from ._exit_hook import ExitHook
from ._host_loop import HostLoop, HostLoopThread
from ._loop_inbox import reset_inboxes
from ._options import RequestedOptions, Scope
from ._shared_connection import SharedConnection
from ._upstream import ConnectionSpec, Upstream

# When the interpreter ends, connections get so many seconds to be closed in order.
_EXIT_TIMEOUT: Final = 6.0
# A fork waits so many seconds for clients that are just being made.
_PAUSE_TIMEOUT: Final = 1.0


LookupRunner = Callable[[Callable[[], SharedConnection | None]], SharedConnection | None]


class Registry:
    """The connections of one process. Decided under the lock, done on the owner loops."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._shared: dict[tuple[object, ...], SharedConnection] = {}
        self._thread: HostLoopThread | None = None
        self._offers: list[HostLoop] = []
        self._is_ending = False
        self._fork_guard = ForkGuard()
        self._exit_hook = ExitHook(self.close_all)

    def __repr__(self) -> str:
        thread = "thread" if self._thread is not None else "no thread"
        return f"<Registry connections={len(self._shared)} offered={len(self._offers)} {thread}>"

    def __len__(self) -> int:
        """How many connections there are, those included that are being closed."""
        return len(self._shared)

    def all(self) -> list[SharedConnection]:
        """The connections of this moment."""
        with self.lock:
            return list(self._shared.values())

    def remove_dead(self) -> None:
        """Connections whose event loops were closed without a word are gone, and so are their sockets."""
        for shared in self.all():
            if shared.owner.is_dead:
                with contextlib.suppress(Exception):
                    replace_with_null_device(shared.upstream.file_descriptors())
                self.forget(shared)

    @property
    def host_thread(self) -> threading.Thread | None:
        """The thread that connections live in; None while there is none."""
        return self._thread.thread if self._thread is not None else None

    def find(
        self,
        recipe: ConnectionSpec,
        given: RequestedOptions,
        make: Callable[[ConnectionSpec], tuple[Upstream, Protocol]],
        *,
        scope: Scope,
        linger: float,
        loop: asyncio.AbstractEventLoop | None,
        claim: LookupRunner,
    ) -> SharedConnection:
        """The connection of this key, counted for one more link. Raises `OptionConflict`, and what `make` raises.

        `claim` calls what it is given, which counts, and may be called again if that finds no connection.
        """
        place = (recipe.key, id(loop)) if scope == "loop" else (recipe.key,)
        made: tuple[Upstream, Protocol] | None = None

        def find() -> SharedConnection | None:
            return self._find(place, recipe, given, made, scope=scope, linger=linger, loop=loop)

        while not (found := claim(find)):
            # Not under the lock: that calls functions of the program. Should somebody else be quicker, theirs is used.
            with self._fork_guard:
                made = make(recipe)
        found.owner.loop_inbox.post(found.drop_dead_members)
        return found

    def _find(
        self,
        place: tuple[object, ...],
        recipe: ConnectionSpec,
        given: RequestedOptions,
        made: tuple[Upstream, Protocol] | None,
        *,
        scope: Scope,
        linger: float,
        loop: asyncio.AbstractEventLoop | None,
    ) -> SharedConnection | None:
        """The connection, the one that there is or the one that was made; None: there is neither."""
        with self.lock:
            self.remove_dead()
            shared = self._shared.get(place)
            if shared is not None and not shared.is_closing:
                shared.requested_options.check(given, recipe.key)
            elif made is None:
                return None
            else:
                upstream, protocol = made
                given.set_protocol(protocol)
                owner = self._owner() if scope != "loop" or loop is None else HostLoop(loop)
                shared = SharedConnection(
                    self,
                    owner,
                    upstream,
                    given,
                    recipe.tokens,
                    registry_key=place,
                    protocol=protocol,
                    predecessor=shared,
                )
                self._shared[place] = shared
            shared.count += 1
            shared.linger = max(shared.linger, linger)
            return shared

    # --- what a connection asks (see `shared.Counted`) --------------------------------------------------------------

    def release_member(self, shared: SharedConnection) -> int:
        """One link less."""
        with self.lock:
            shared.count -= 1
            return shared.count

    def close_if_unused(self, shared: SharedConnection) -> bool:
        """Whether it is to be closed: nobody can join it from then on."""
        with self.lock:
            if shared.count == 0:
                shared.is_closing = True
            return shared.is_closing

    def retire(self, shared: SharedConnection) -> None:
        """Nobody joins it any more."""
        with self.lock:
            shared.is_closing = True

    def forget(self, shared: SharedConnection) -> None:
        """It's gone; with the last one, the thread goes, too."""
        with self.lock:
            if self._shared.get(shared.registry_key) is shared:
                del self._shared[shared.registry_key]
            thread = self._thread
            if thread is not None and not any(other.owner is thread for other in self._shared.values()):
                self._thread = None
                thread.stop()

    # --- owner loops ------------------------------------------------------------------------------------------------

    def _owner(self) -> HostLoop:
        for offer in reversed(self._offers):
            if not offer.is_dead:
                return offer
        if self._is_ending:
            raise UsageError("the interpreter is ending; nothing can be joined any more")
        if self._thread is None:
            self._thread = HostLoopThread()
            self._exit_hook.watch()
        return self._thread

    @contextlib.asynccontextmanager
    async def offering(self) -> AsyncGenerator[None]:
        """New connections live on the running loop inside the block; at its end they are closed in order."""
        owner = HostLoop(asyncio.get_running_loop())
        with self.lock:
            self._offers.append(owner)
        try:
            yield
        finally:
            with self.lock:
                self._offers.remove(owner)
                mine = [shared for shared in self._shared.values() if shared.owner is owner]
                for shared in mine:
                    shared.is_closing = True
            await asyncio.gather(*(shared.close() for shared in mine))

    def close_all(self, timeout: float = _EXIT_TIMEOUT) -> None:
        """Close what the thread holds, in order and bounded: the interpreter ends."""
        self.remove_dead()  # the collector shall find them while the interpreter is whole
        with self.lock:
            self._is_ending = True
            thread = self._thread
            if thread is None:
                return
            for shared in self._shared.values():
                if shared.owner is thread:
                    shared.is_closing = True
                    thread.loop_inbox.post(self._close, shared)
        thread.thread.join(timeout)
        if thread.thread.is_alive():
            # Past the deadline what is left is reset, or it would be there beside the connection of another process.
            for shared in self.all():
                if shared.owner is thread:
                    with contextlib.suppress(Exception):
                        replace_with_null_device(shared.upstream.file_descriptors())

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
            # Not under the lock, which the thread may need in order to come to a stand: so another may have begun.
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
                found.extend(shared.owner.descriptors())
        replace_with_null_device(found)


_registries: Final = [Registry()]
"""The registry of this process first; then those that it inherited, never let go of, so that no destructor of the
parent's objects runs in the child."""


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
    """Let new connections of scope "process" live on the running loop, inside an ``async with`` block.

    At the end of the block (which is also reached when `asyncio.run` ends) those connections are closed in order, and
    their links hear of `CLOSED`; who joins later gets a new connection, on another offered loop or in the thread.
    """
    return current_registry().offering()
