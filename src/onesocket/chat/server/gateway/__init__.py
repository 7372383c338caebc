"""Discord's gateway, version 10, served."""

from .gateway import Gateway
from .options import GatewayOptions
from .stats import Stats

__all__ = ["Gateway", "GatewayOptions", "Stats"]
