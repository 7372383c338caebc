"""Messages from one process to others, over several carriers."""

from __future__ import annotations
