"""The upgrade of RFC 6455, section 4: what a client asks for, and what was agreed on."""

from ._handshake import Data, DialRequest, Handshake, size_of, upgrade_headers

__all__ = ["Data", "DialRequest", "Handshake", "size_of", "upgrade_headers"]
