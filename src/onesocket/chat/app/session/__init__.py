"""One account at one server: the line, the HTTP API, and what is known. It knows nothing of the screen."""

from .address import DEFAULT_SERVER, Server
from .session import Session, SessionOptions, sign_in
from .shelf import Shelves

__all__ = ["DEFAULT_SERVER", "Server", "Session", "SessionOptions", "Shelves", "sign_in"]
