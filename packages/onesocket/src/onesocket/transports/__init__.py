"""The transport port and its implementations: picows, `websockets` and memory."""
