from pathlib import Path

import pytest

from tools.names import REFERENCE
from tools.reference import Reference, main

PACKAGE = {
    "__init__": '''
"""One package.

Details."""
from ._client import Client, Color, choose, summed
__all__ = ["Client", "Color", "choose", "summed"]
''',
    "extra": '''
"""Names without a list."""
from typing import TypeVar
from ._client import choose
T = TypeVar("T")
LIMIT = 5
_HIDDEN = 6
class Failure(Exception):
    """An error."""
''',
    "again": '"""The same class, exported again."""\nfrom ._client import Client\n__all__ = ["Client"]',
    "empty": '"""Nothing to export."""',
    "_client": '''
"""Private."""
import enum
from typing import overload
_DEFAULT = dict(a=1)

class _Base:
    def inherited(self) -> None:
        """Inherited from a private class."""

class Client(_Base):
    """One client.

    >>> Client("x")
    Client()

    It has options.

    Parameters:
        url: An address,
            checked.
        limit: A number.
    """

    kind: str = "c"
    """The kind of client."""

    def __init__(self, url: str, /, *names: int, limit: int = 5, options: dict = _DEFAULT, **more: int) -> None:
        self.plain = url
        self._hidden = url

    @property
    def state(self) -> str:
        """The state
        now."""

    async def send(self, *, data: bytes) -> None:
        """Send `data`.

        Not shown."""

    def _private(self) -> None: ...

class Color(enum.Enum):
    """A color."""
    RED = "red"

@overload
def choose(one: int) -> int: ...
@overload
def choose(one: str, two: str, three: str, four: str, five: str, six: str, seven: str, eight: str) -> str: ...
def choose(*args):
    """Choose."""

@overload
def summed(one: int, **options: Unpack[Options]) -> int: ...
@overload
def summed(one: str, **options: Unpack[Options]) -> str: ...
def summed(one, *, two: int = 2):
    """Sum up."""
''',
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in PACKAGE.items():
        path = tmp_path / "packages/madeup/src/madeup" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path


def pages(root: Path) -> dict[str, str]:
    modules = ["madeup", "madeup.again", "madeup.empty", "madeup.extra"]
    return Reference([root / "packages/madeup/src"], modules).pages()


def test_each_module_has_a_page_and_one_that_exports_nothing_a_row(root: Path) -> None:
    found = pages(root)
    assert found.keys() == {"index.md", "madeup.md", "madeup.again.md", "madeup.extra.md"}
    assert "| [`madeup`](madeup.md) | One package. |" in found["index.md"]
    assert "| `madeup.empty` (exports nothing) | Nothing to export. |" in found["index.md"]


def test_a_class_has_its_signature_its_parameters_and_its_public_members(root: Path) -> None:
    text = pages(root)["madeup.md"]
    assert "Client(url: str, /, *names: int, limit: int = 5, options: dict = dict(a=1), **more: int)" in text
    assert '```text\n>>> Client("x")\nClient()\n```\n\nIt has options.\n\nParameters:\n' in text
    assert "\n\n- `url`: An address,\n  checked.\n" in text
    assert "- `limit`: A number.\n" in text
    assert "- `kind: str`: The kind of client.\n" in text
    assert "- `state: str`: The state now.\n" in text
    assert "- `async send(*, data: bytes) -> None`: Send `data`.\n" in text
    assert "- `inherited() -> None`: Inherited from a private class.\n" in text
    assert not any(word in text for word in ("_private", "_hidden", "plain", "Not shown"))


def test_members_of_an_enum_and_every_overload_are_shown(root: Path) -> None:
    text = pages(root)["madeup.md"]
    assert "- `RED = 'red'`\n" in text
    assert "choose(one: int) -> int\nchoose(\n    one: str,\n" in text
    assert "    eight: str,\n) -> str\n```\nChoose.\n" in text


def test_a_function_whose_overloads_sum_up_their_keywords_is_shown_with_all_of_them(root: Path) -> None:
    assert "```text\nsummed(one, *, two: int = 2)\n```\nSum up.\n" in pages(root)["madeup.md"]


def test_without_a_list_the_public_names_of_the_module_itself_are_exported(root: Path) -> None:
    text = pages(root)["madeup.extra.md"]
    assert "```text\nLIMIT = 5\n```" in text
    assert "```text\nclass Failure(Exception)\n```\nAn error.\n" in text
    assert not any(word in text for word in ("choose", "`T`", "HIDDEN"))


def test_a_name_is_described_once(root: Path) -> None:
    assert "described elsewhere: [`Client`](madeup.md#client)." in pages(root)["madeup.again.md"]


def test_a_stale_missing_or_superfluous_page_is_found_and_mended(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / REFERENCE.parent
    assert main(["--check"], root) == 1
    assert main([], root) == 0
    assert main(["--check"], root) == 0
    (folder / "madeup.gone.md").write_text("", "utf-8")
    (folder / "index.md").write_text("", "utf-8")
    capsys.readouterr()
    assert main(["--check"], root) == 1
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == [
        "docs/reference/index.md",
        "docs/reference/madeup.gone.md",
    ]
    assert main([], root) == 0
    assert main(["--check"], root) == 0
