"""A simulated world: the real client on virtual time, a network that breaks, and a crowd that does what it likes.

Everything comes from one seed, so a failing one replays exactly. ``python -m tests.simulation.world --help``.
"""
