"""One account at one server: its connection, its HTTP requests and its state. Independent of the screens."""

from ._draft_files import DraftFiles
from ._server_address import DEFAULT_SERVER, ServerAddress
from ._session import ChatSession, SessionOptions, sign_in

__all__ = ["DEFAULT_SERVER", "ChatSession", "DraftFiles", "ServerAddress", "SessionOptions", "sign_in"]
