"""The upgrade of RFC 6455, section 4: the request of a client, and the result."""

from ._handshake import Data, DialRequest, Handshake, size_of, upgrade_headers

__all__ = ["Data", "DialRequest", "Handshake", "size_of", "upgrade_headers"]
