"""Objects of the user's own modules, which options of the command name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InvalidOption


def load_object(option: str, name: str, example: str, make: Callable[[Any], Any]) -> Any:
    """Load ``module:object`` and return what `make` makes of it. Raises `InvalidOption`.

    Modules in the working directory are found, too. `option` and `example` are for errors.
    """
    module_name, colon, attribute = name.partition(":")
    if not module_name or not colon or not attribute:
        raise InvalidOption(f"{option} wants module:object, such as {example}, not {name!r}")
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        return make(getattr(importlib.import_module(module_name), attribute))
    except Exception as error:
        raise InvalidOption(f"{option} {name} can't be loaded: {type(error).__name__}: {error}") from error
