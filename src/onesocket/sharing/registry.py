"""Which connections this process has: one for each key, found by whoever asks, from whatever thread."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from ..errors import UsageError
from ..forking import release
from ..protocols.base import Protocol
from . import mailbox
from .ending import Ending
from .options import Given, Scope
from .owner import Owner, OwnerThread
from .shared import Shared
from .undisturbed import Undisturbed
from .upstream import Recipe, Upstream

# When the interpreter ends, connections get so many seconds to be closed in order.
_LAST_SECONDS: Final = 6.0
# A fork waits so many seconds for clients that are just being made.
_STILL_WITHIN: Final = 1.0


Claim = Callable[[Callable[[], Shared | None]], Shared | None]


class Registry:
    """The connections of one process. Decided under the lock, done on the owner loops."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._shared: dict[tuple[object, ...], Shared] = {}
        self._thread: OwnerThread | None = None
        self._offers: list[Owner] = []
        self._is_ending = False
        self._undisturbed = Undisturbed()
        self._ending = Ending(self.close_all)

    def __repr__(self) -> str:
        thread = "thread" if self._thread is not None else "no thread"
        return f"<Registry connections={len(self._shared)} offered={len(self._offers)} {thread}>"

    def __len__(self) -> int:
        """How many connections there are, those included that are being closed."""
        return len(self._shared)

    def all(self) -> list[Shared]:
        """The connections of this moment."""
        with self.lock:
            return list(self._shared.values())

    def forget_the_dead(self) -> None:
        """Connections whose event loops were closed without a word are gone, and so are their sockets."""
        for shared in self.all():
            if shared.owner.is_dead:
                with contextlib.suppress(Exception):
                    release(shared.upstream.held())
                self.forget(shared)

    @property
    def owner_thread(self) -> threading.Thread | None:
        """The thread that connections live in; None while there is none."""
        return self._thread.thread if self._thread is not None else None

    def find(
        self,
        recipe: Recipe,
        given: Given,
        make: Callable[[Recipe], tuple[Upstream, Protocol]],
        *,
        scope: Scope,
        linger: float,
        loop: asyncio.AbstractEventLoop | None,
        claim: Claim,
    ) -> Shared:
        """The connection of this key, counted for one more link. Raises `OptionConflict`, and what `make` raises.

        `claim` calls what it is given, which counts, and may be called again if that finds no connection.
        """
        place = (recipe.key, id(loop)) if scope == "loop" else (recipe.key,)
        made: tuple[Upstream, Protocol] | None = None

        def find() -> Shared | None:
            return self._find(place, recipe, given, made, scope=scope, linger=linger, loop=loop)

        while not (found := claim(find)):
            # Not under the lock: that calls functions of the program. Should somebody else be quicker, theirs is used.
            with self._undisturbed:
                made = make(recipe)
        found.owner.mailbox.post(found.drop_the_dead)
        return found

    def _find(
        self,
        place: tuple[object, ...],
        recipe: Recipe,
        given: Given,
        made: tuple[Upstream, Protocol] | None,
        *,
        scope: Scope,
        linger: float,
        loop: asyncio.AbstractEventLoop | None,
    ) -> Shared | None:
        """The connection, the one that there is or the one that was made; None: there is neither."""
        with self.lock:
            self.forget_the_dead()
            shared = self._shared.get(place)
            if shared is not None and not shared.is_closing:
                shared.given.check(given, recipe.key)
            elif made is None:
                return None
            else:
                upstream, protocol = made
                given.made(protocol)
                owner = self._owner() if scope != "loop" or loop is None else Owner(loop)
                shared = Shared(
                    self,
                    owner,
                    upstream,
                    given,
                    recipe.tokens,
                    place=place,
                    protocol=protocol,
                    predecessor=shared,
                )
                self._shared[place] = shared
            shared.count += 1
            shared.linger = max(shared.linger, linger)
            return shared

    # --- what a connection asks (see `shared.Counted`) --------------------------------------------------------------

    def count_out(self, shared: Shared) -> int:
        """One link less."""
        with self.lock:
            shared.count -= 1
            return shared.count

    def close_if_unused(self, shared: Shared) -> bool:
        """Whether it is to be closed: nobody can join it from then on."""
        with self.lock:
            if shared.count == 0:
                shared.is_closing = True
            return shared.is_closing

    def retire(self, shared: Shared) -> None:
        """Nobody joins it any more."""
        with self.lock:
            shared.is_closing = True

    def forget(self, shared: Shared) -> None:
        """It's gone; with the last one, the thread goes, too."""
        with self.lock:
            if self._shared.get(shared.place) is shared:
                del self._shared[shared.place]
            thread = self._thread
            if thread is not None and not any(other.owner is thread for other in self._shared.values()):
                self._thread = None
                thread.stop()

    # --- owner loops ------------------------------------------------------------------------------------------------

    def _owner(self) -> Owner:
        for offer in reversed(self._offers):
            if not offer.is_dead:
                return offer
        if self._is_ending:
            raise UsageError("the interpreter is ending; nothing can be joined any more")
        if self._thread is None:
            self._thread = OwnerThread()
            self._ending.watch()
        return self._thread

    @contextlib.asynccontextmanager
    async def offering(self) -> AsyncGenerator[None]:
        """New connections live on the running loop inside the block; at its end they are closed in order."""
        owner = Owner(asyncio.get_running_loop())
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

    def close_all(self, timeout: float = _LAST_SECONDS) -> None:
        """Close what the thread holds, in order and bounded: the interpreter ends."""
        with self.lock:
            self._is_ending = True
            thread = self._thread
            if thread is None:
                return
            for shared in self._shared.values():
                if shared.owner is thread:
                    shared.is_closing = True
                    thread.mailbox.post(self._close, shared)
        thread.thread.join(timeout)
        if thread.thread.is_alive():
            # Past the deadline what is left is reset, or it would be there beside the connection of another process.
            for shared in self.all():
                if shared.owner is thread:
                    with contextlib.suppress(Exception):
                        release(shared.upstream.held())

    def _close(self, shared: Shared) -> None:
        task = asyncio.get_running_loop().create_task(shared.close(), name="onesocket closes at exit")
        task.add_done_callback(lambda task: task.cancelled() or task.exception())

    # --- forks ------------------------------------------------------------------------------------------------------

    def stand_still(self) -> Callable[[], None]:
        """Before a fork; returns what the parent calls after it."""
        self._undisturbed.stand_still(_STILL_WITHIN)
        while True:
            thread = self._thread
            if thread is not None:
                thread.stand_still()
            self.lock.acquire()
            if thread is self._thread:
                break
            # Not under the lock, which the thread may need in order to come to a stand: so another may have begun.
            self.lock.release()
            if thread is not None:
                thread.go_on()

        def go_on() -> None:
            self.lock.release()
            if thread is not None:
                thread.go_on()
            self._undisturbed.go_on()

        return go_on

    def let_go(self) -> None:
        """In a forked child: the parent's sockets are closed here, without a word on the wire."""
        found: list[int] = []
        for shared in self._shared.values():
            with contextlib.suppress(Exception):
                found.extend(shared.upstream.held())
            with contextlib.suppress(Exception):
                found.extend(shared.owner.descriptors())
        release(found)


def _nothing() -> None:
    pass


class _Process:
    """The registry of this process, and those that it inherited."""

    def __init__(self) -> None:
        self.registry = Registry()
        self._one_fork = threading.Lock()
        """Threads fork one after the other: the second would wait for a stand that only the first one ends."""
        self._go_on: Callable[[], None] = _nothing
        self.inherited: list[Any] = []
        """Never let go of, so that no destructor of the parent's objects runs in the child."""

    def before_fork(self) -> None:
        self._one_fork.acquire()
        self._go_on = self.registry.stand_still()

    def after_in_parent(self) -> None:
        go_on, self._go_on = self._go_on, _nothing
        go_on()
        self._one_fork.release()

    def after_in_child(self) -> None:
        old = self.registry
        self._one_fork = threading.Lock()
        self._go_on = _nothing
        self.registry = Registry()
        mailbox.forget_all()
        old.let_go()
        if len(old):
            self.inherited.append(old)


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_process.before_fork,
        after_in_parent=_process.after_in_parent,
        after_in_child=_process.after_in_child,
    )
atexit.register(lambda: current_registry().close_all())


def current_registry() -> Registry:
    """The registry of this process; a forked child has one of its own."""
    return _process.registry


def offer_loop() -> contextlib.AbstractAsyncContextManager[None]:
    """Let new connections of scope "process" live on the running loop, inside an ``async with`` block.

    At the end of the block (which is also reached when `asyncio.run` ends) those connections are closed in order, and
    their links hear of `CLOSED`; who joins later gets a new connection, on another offered loop or in the thread.
    """
    return current_registry().offering()
