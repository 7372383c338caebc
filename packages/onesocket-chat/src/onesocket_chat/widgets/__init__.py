"""The widgets: each shows one part of the state, and posts the user's requests."""
