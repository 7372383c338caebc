"""One process that has the messages, and others that get them from it: each a process of its own."""

from __future__ import annotations
