"""Public enums can be written as JSON."""

import enum
import importlib
import json
from pathlib import Path

import pytest

from tools.names import public_modules

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("module", [name for name in public_modules(ROOT) if not name.endswith("__main__")])
def test_the_enums_of_a_public_module_are_json(module: str) -> None:
    exported = vars(importlib.import_module(module))
    enums: list[type[enum.Enum]] = [
        one
        for name, one in exported.items()
        if isinstance(one, type) and issubclass(one, enum.Enum) and not name.startswith("_")
    ]
    for one in enums:
        assert json.loads(json.dumps(list(one))) == [member.value for member in one]
