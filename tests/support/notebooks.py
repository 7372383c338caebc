"""Notebooks, run as IPython runs them: one namespace, and ``await`` at the top of a cell.

A kernel does the same, needs twenty packages more, and takes seconds to start. ``python notebooks.py FILE`` prints the
result of each cell.
"""

import ast
import asyncio
import inspect
import json
import sys
from pathlib import Path
from typing import Any


def code_cells(path: Path) -> list[str]:
    """The code of a notebook that is well-formed, and was saved without outputs."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["metadata"]["kernelspec"]["language"]) == (4, "python")
    for cell in notebook["cells"]:
        assert {"cell_type", "metadata", "source"} <= set(cell)
        assert cell.get("outputs", []) == []
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


async def run_notebook(path: Path) -> list[Any]:
    """Run all cells; returns the value of each one's last expression, or None."""
    namespace: dict[str, Any] = {}
    results: list[Any] = []
    for code in code_cells(path):
        tree = ast.parse(code)
        namespace["_"] = None
        if isinstance(last := tree.body[-1], ast.Expr):
            shown = ast.copy_location(ast.Assign([ast.Name("_", ast.Store())], last.value), last)
            tree.body[-1] = ast.fix_missing_locations(shown)
        result = eval(compile(tree, path.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), namespace)  # noqa: S307 - our own
        if inspect.isawaitable(result):
            await result
        results.append(namespace["_"])
        if __name__ == "__main__":
            print("Out:", results[-1], flush=True)  # noqa: T201
    return results


if __name__ == "__main__":
    file = Path(sys.argv[1])
    sys.path.insert(0, str(file.parent))  # as a kernel, whose working directory it is
    asyncio.run(run_notebook(file))
