"""The subcommand ``onesocket serve``."""

from ._serve import serve_app as serve

__all__ = ["serve"]
