"""Discord's gateway, version 10, served."""

from ._gateway_server import GatewayServer
from ._options import GatewayOptions
from ._stats import Stats

__all__ = ["GatewayOptions", "GatewayServer", "Stats"]
