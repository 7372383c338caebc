"""The gateway of the local server."""

from ..._serving import GatewayOptions
from ._gateway_server import GatewayServer
from ._stats import Stats

__all__ = ["GatewayOptions", "GatewayServer", "Stats"]
