"""The connection of one identity: a client of the provider's own, or one on a connection that it shares."""

from __future__ import annotations

import contextlib
import enum
import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, cast, runtime_checkable

from ..client._client import Client
from ..client._identity_token import IdentityToken
from ..client._message_client import MessageClient
from ..client._user_code import USER_ERRORS, concerns_another_client
from ..errors import ClientClosed, InvalidOption, OnesocketError, UsageError
from ..lifecycle._states import State
from ..urls import parse_url

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    C = TypeVar("C", bound=MessageClient[Any], default=Client[Any])
    L_co = TypeVar("L_co", bound=MessageClient[Any], covariant=True)
else:
    from typing import TypeVar

    # In Python 3.11 and 3.12 only type checkers know defaults of type variables.
    C = TypeVar("C")
    L_co = TypeVar("L_co", covariant=True)


@runtime_checkable
class SharedClientFactory(Protocol[L_co]):
    """Interface of the result of `onesocket.join()`: it makes clients of a shared connection."""

    @property
    def token_source(self) -> object:
        """The token source that the connection uses."""
        ...

    def client(self) -> L_co:
        """Return a new client, not connected yet; it has a `left()`."""
        ...


IdentityClientFactory = Callable[[IdentityToken], C] | Callable[[IdentityToken], SharedClientFactory[C]]


def as_client_factory(make_client: object) -> IdentityClientFactory[Any]:
    """Return the function that makes a client for a token source, from a URL or a function."""
    if isinstance(make_client, str):
        parse_url(make_client)
        url = make_client
        return lambda token: Client(url, token=token)
    if not callable(make_client):
        raise InvalidOption(f"Provider needs a URL or a function that makes a client, not {type(make_client).__name__}")
    return cast("IdentityClientFactory[Any]", make_client)


class ConnectionStage(enum.Enum):
    """How far the connection of one identity has come, as its provider sees it."""

    NEW = "new"
    UP = "up"
    """`connect()` or `reconnect()` has succeeded since the last `disconnect()` of the provider."""
    STOPPED = "stopped"
    """The provider has called `disconnect()`, so it may reconnect."""
    LEFT = "left"
    """The provider has left the shared connection while it was opened: the signed-in identity has changed."""


class IdentityConnection(Generic[C]):
    """The connection of one identity, and the token that its next attempt uses."""

    client: C
    is_shared = False
    """True if the client is a `SharedClient`: the provider leaves the connection, and never disconnects it."""

    def __init__(
        self,
        key: str,
        token_of: Callable[[IdentityConnection[C], str | None, OnesocketError | None], Awaitable[str]],
    ) -> None:
        self.key = key
        self.next_token: str | None = None
        self.stage = ConnectionStage.NEW
        self._token_of = token_of

    def __repr__(self) -> str:
        client = getattr(self, "client", None)
        return f"<IdentityConnection {self.stage.value}{' shared' if self.is_shared else ''} {client!r}>"

    def build(self, make_client: IdentityClientFactory[C]) -> None:
        """Make the client. Raises the errors of `Client()` and `join()`, and `UsageError` for any other exception."""
        try:
            self._build(make_client)
        except USER_ERRORS as error:
            if isinstance(error, OnesocketError) and not concerns_another_client(error):
                raise
            # Its text may hold a secret, so it is only chained.
            raise UsageError(f"make_client raised {type(error).__name__}") from error

    def _build(self, make_client: IdentityClientFactory[C]) -> None:
        token = IdentityToken(self.key, functools.partial(self._token_of, self))
        made: object = make_client(token)
        if isinstance(made, Client):
            self.client = cast("C", made)
        elif isinstance(made, SharedClientFactory):
            if made.token_source is not token:
                raise UsageError(
                    "make_client returned a join() without the token that it was called with: other identities would "
                    "share its connection; call it anew each time, with token=token"
                )
            self.is_shared = True
            self.client = made.client()
        else:
            raise UsageError(f"make_client must return a Client or onesocket.join(...), not {type(made).__name__}")
        if self.client.state is State.CLOSED:
            raise UsageError("make_client returned a closed client; it has to build a new one each time")

    async def wait_closed(self) -> None:
        """Wait until the connection is closed or left; callbacks may still run, and one of them may be the caller."""
        if self.is_shared:
            client: Any = self.client
            await client.left()
        else:
            with contextlib.suppress(ClientClosed):
                await self.client.wait_for(State.CLOSED)
