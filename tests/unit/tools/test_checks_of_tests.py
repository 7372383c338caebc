"""Each test checks something: by an assertion, by a helper that does, or as its docstring or a comment says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
CHECKS = re.compile(r"_?(assert|check|expect|require|raises|warns|fail|until|wait|seen)")


def checks(node: ast.AST, functions: dict[str, ast.AST], visited: frozenset[str] = frozenset()) -> bool:
    """True if `node` has an assertion, calls a function whose name says that it checks, or a helper that does."""
    for one in ast.walk(node):
        if isinstance(one, ast.Assert):
            return True
        if isinstance(one, ast.Call) and CHECKS.match(ast.unparse(one.func).rpartition(".")[2]):
            return True
        helper = one.id if isinstance(one, ast.Name) and one.id not in visited else ""
        if helper in functions and checks(functions[helper], functions, visited | {helper}):
            return True
    return False


def unexplained(text: str) -> Iterator[str]:
    """Names of the tests of a module that check nothing and say nothing of it."""
    tree, lines = ast.parse(text), text.splitlines()
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for name, node in functions.items():
        says = ast.get_docstring(node) or any("#" in line for line in lines[node.lineno - 1 : node.end_lineno])
        if name.startswith("test_") and not says and not checks(node, dict(functions), frozenset({name})):
            yield name


def test_each_test_checks_something_or_says_why_not() -> None:
    files = sorted(TESTS.rglob("test_*.py"))
    assert [f"{path.name}: {name}" for path in files for name in unexplained(path.read_text("utf-8"))] == []


def test_a_test_without_a_check_is_found() -> None:
    text = '''
def helper(): assert True
def nothing(): helper
def test_calls(): helper()
def test_indirect(): nothing()
def test_raises():
    with pytest.raises(ValueError): int("")
def test_waits(server): server.wait_until(None)
def test_says(): int("1")  # must not raise
def test_tells():
    """Must not raise."""
def test_checks_nothing(): int("1")
def test_calls_itself(): test_calls_itself()
'''
    assert list(unexplained(text)) == ["test_checks_nothing", "test_calls_itself"]
