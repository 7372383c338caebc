"""The command of a campaign: its seed, the choice of faults, and an exit that leaves no process behind."""

from __future__ import annotations

import argparse
import random
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, Generic, TypeVar

D = TypeVar("D")
_EXIT_TERMINATED: Final = 128 + signal.SIGTERM


class FaultChooser:
    """Chooses faults by weight; the same seed chooses the same ones in the same order."""

    def __init__(self, seed: int | str, weights: Mapping[str, int]) -> None:
        self.random = random.Random(seed)
        self._weights = weights

    def choose(self) -> str:
        """The next fault."""
        return self.random.choices(list(self._weights), weights=list(self._weights.values()))[0]


class FaultTable(Generic[D]):
    """The faults of a campaign by name: how often each is dealt, and what deals it."""

    def __init__(self, faults: Mapping[str, tuple[int, D]]) -> None:
        """`faults`: the weight of each, and its function."""
        self._faults = faults

    @property
    def names(self) -> AbstractSet[str]:
        """All of them."""
        return self._faults.keys()

    def chooser(self, seed: int | str, *, without: Collection[str] = ()) -> FaultChooser:
        """Chooses among them, but for those of `without`."""
        return FaultChooser(seed, {name: weight for name, (weight, _) in self._faults.items() if name not in without})

    def __getitem__(self, name: str) -> D:
        """The function that deals a fault."""
        return self._faults[name][1]


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
