"""The command of a campaign: its seed, the choice of faults, and an exit that leaves no process behind."""

from __future__ import annotations

import argparse
import random
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final

_EXIT_TERMINATED: Final = 128 + signal.SIGTERM


class FaultChooser:
    """Chooses faults by weight; the same seed chooses the same ones in the same order."""

    def __init__(self, seed: int | str, weights: Mapping[str, int]) -> None:
        self.random = random.Random(seed)
        self._weights = weights

    def choose(self) -> str:
        """The next fault."""
        return self.random.choices(list(self._weights), weights=list(self._weights.values()))[0]


def add_seed(parser: argparse.ArgumentParser) -> None:
    """The option ``--seed``: a random one unless it is given."""
    default = random.SystemRandom().randrange(10**6)
    parser.add_argument("--seed", type=int, default=default, help="repeats the choices of an earlier run")


def run_command(main: Callable[[], int]) -> None:
    """Exit with the status of `main`; SIGTERM unwinds the stack, so that child processes are ended, too."""
    signal.signal(signal.SIGTERM, _exit_in_order)
    sys.exit(main())


def _exit_in_order(*_: object) -> None:
    raise SystemExit(_EXIT_TERMINATED)
