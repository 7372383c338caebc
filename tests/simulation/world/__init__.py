"""A simulated world: the real client on virtual time, a network that breaks, and callers that act at random.

Everything comes from one seed, so a failing one replays exactly. ``python -m tests.simulation.world --help``.
"""
