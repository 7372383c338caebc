"""The demo of `make demo`: a thousand components race for one connection, in every state, and the server counts."""
