"""The clock by which leases are counted: it goes on while the machine is suspended."""

from __future__ import annotations

import sys
import time

if sys.platform == "linux":

    def boot_time() -> float:
        """Seconds since the machine started, suspended time included: CLOCK_BOOTTIME."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

elif sys.platform == "darwin":

    def boot_time() -> float:
        """Seconds by CLOCK_MONOTONIC, which goes on during sleep there, unlike `time.monotonic()`."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

else:

    def boot_time() -> float:
        """Seconds by `time.monotonic()`; on Windows, it counts suspended time."""
        return time.monotonic()
