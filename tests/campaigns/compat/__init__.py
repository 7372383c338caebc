"""Real Discord libraries, unmodified, against the chat server: `python -m tests.campaigns.compat`."""
