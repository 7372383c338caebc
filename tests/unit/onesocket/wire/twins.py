"""The twins that read and write frames; a machine without a compiler has one."""

import contextlib
import importlib
from typing import Any

from onesocket.wire import _python_frames

TWINS: dict[str, Any] = {"python": _python_frames}
with contextlib.suppress(ImportError):
    TWINS["c"] = importlib.import_module("onesocket.wire._native")
