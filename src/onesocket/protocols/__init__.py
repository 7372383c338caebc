"""What the frames mean: sans-IO wire protocols behind one port. These names are for whoever writes another one."""

from .base import Action, Deliver, Fail, Ready, Send, WakeAt
from .codec import CodecProtocol

__all__ = ["Action", "CodecProtocol", "Deliver", "Fail", "Ready", "Send", "WakeAt"]
