"""What a provider keeps a line with: a client of its own, or a link on one that it shares with others."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, cast, runtime_checkable

from ..client._client import Client
from ..client._identity_token import IdentityToken
from ..client._status import Change, Status
from ..errors import ClientClosed, UsageError
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    C = TypeVar("C", bound="ConnectionHandle", default=Client)
    L_co = TypeVar("L_co", bound="ConnectionHandle", covariant=True)
else:
    from typing import TypeVar

    # Only type checkers know defaults in all our versions of Python.
    C = TypeVar("C")
    L_co = TypeVar("L_co", covariant=True)


class ConnectionHandle(Protocol):
    """What a provider asks of a `Client`, and of the links of `onesocket.join()`."""

    @property
    def state(self) -> State:
        """Where it stands."""
        ...

    @property
    def status(self) -> Status:
        """A frozen snapshot."""
        ...

    async def connect(self) -> Outcome:
        """Have it up."""
        ...

    async def reconnect(self) -> Outcome:
        """Lift a `disconnect()`, and open a new one."""
        ...

    async def disconnect(self) -> None:
        """Hold it closed."""

    async def aclose(self) -> None:
        """Leave it, for good."""

    async def wait_for(self, *states: State, timeout: float | None = None) -> State:
        """Wait for a state."""
        ...

    def on_change(self, callback: Callable[[Change], object]) -> object:
        """Hear of every change."""
        ...


@runtime_checkable
class SharedClientFactory(Protocol[L_co]):
    """What `onesocket.join()` returns: links on a connection that isn't the provider's alone."""

    @property
    def token_source(self) -> object:
        """Whose tokens the connection uses."""
        ...

    def client(self) -> L_co:
        """A new one, not connected yet; it has a `left()`."""
        ...


IdentityClientFactory = Callable[[IdentityToken], C] | Callable[[IdentityToken], SharedClientFactory[C]]


class IdentityConnection(Generic[C]):
    """The line of one identity, and the token that its next attempt uses."""

    client: C
    is_shared = False
    """Others may use the same line: it's left, never put down."""

    def __init__(self, key: str, token_of: Callable[[IdentityConnection[C]], Awaitable[str]]) -> None:
        self.key = key
        self.next_token: str | None = None
        self.may_reconnect = False
        """It was put down by the provider, which so may lift it."""
        self.was_up = False
        self.is_left = False
        """The identity signed out, or another one signed in, while it was being opened."""
        self._token_of = token_of

    def __repr__(self) -> str:
        return f"<Kept {'shared ' if self.is_shared else ''}{getattr(self, 'client', None)!r}>"

    def build(self, make_client: IdentityClientFactory[C]) -> None:
        """Make the client, or the link. Raises `UsageError`, and what `make_client` raises."""
        token = IdentityToken(self.key, self._token)
        made: object = make_client(token)
        if isinstance(made, Client):
            self.client = cast("C", made)
        elif isinstance(made, SharedClientFactory):
            if made.token_source is not token:
                raise UsageError(
                    "make_client returned a join() without the token that it was called with: other identities would "
                    "share its line; call it anew each time, with token=token"
                )
            self.is_shared = True
            self.client = made.client()
        else:
            raise UsageError(f"make_client must return a Client or onesocket.join(...), not {type(made).__name__}")
        if self.client.state is State.CLOSED:
            raise UsageError("make_client returned a closed client; it has to build a new one each time")

    async def wait_closed(self) -> None:
        """Wait until nothing is left of it, but for callbacks of its subscribers: the caller may be one of them."""
        if self.is_shared:
            client: Any = self.client
            await client.left()
        else:
            with contextlib.suppress(ClientClosed):
                await self.client.wait_for(State.CLOSED)

    async def _token(self) -> str:
        return await self._token_of(self)
