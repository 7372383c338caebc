"""The errors of a hub; `onesocket.errors` defines them."""

from ..errors import CannotListen, HubRunning

__all__ = ["CannotListen", "HubRunning"]
