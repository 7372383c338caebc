"""The chat's state as immutable values, and the functions that derive the next state from an event. No I/O."""
