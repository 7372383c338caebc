"""One tab of a browser and one profile of it: what the tests ask of every engine."""

from __future__ import annotations

import asyncio
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

DEADLINE: Final = 20.0
_KEYS: Final = {
    "Backspace": "\ue003",
    "Tab": "\ue004",
    "Enter": "\ue007",
    "Shift": "\ue008",
    "Control": "\ue009",
    "Escape": "\ue00c",
    "ArrowUp": "\ue013",
    "ArrowDown": "\ue015",
}
"""Code points of the keys that write nothing: WebDriver, 17.4.2."""

# The middle of the first element of a selector that is drawn and has a text. An element that is covered is none yet: a
# click would reach something else.
_PLACE: Final = """([selector, text]) => {
    for (const found of document.querySelectorAll(selector)) {
        if (!found.textContent.includes(text) || found.getClientRects().length === 0) continue;
        found.scrollIntoView({ block: 'nearest', behavior: 'instant' });
        const { left, top, width, height } = found.getBoundingClientRect();
        const [x, y] = [Math.floor(left + width / 2), Math.floor(top + height / 2)];
        const at = document.elementFromPoint(x, y);
        if (found.contains(at) || at?.closest('label')?.contains(found)) return [x, y];
    }
    return null;
}"""

Actions: TypeAlias = Sequence[Mapping[str, object]]


class Failed(RuntimeError):
    """A command of the browser failed, or a function threw in the page."""


class Tab(ABC):
    """A tab. Functions are JavaScript of one argument that is JSON, as is what they return or resolve to."""

    @abstractmethod
    async def goto(self, url: str) -> None:
        """Load an address, and wait until it is loaded."""

    @abstractmethod
    async def reload(self) -> None:
        """Load the page anew."""

    @abstractmethod
    async def back(self) -> None:
        """Go back in the history."""

    @abstractmethod
    async def evaluate(self, function: str, argument: object = None) -> Any:
        """Call a function in the page. Raises `Failed`."""

    @abstractmethod
    async def perform(self, actions: Actions) -> None:
        """Do what a person does, as WebDriver's list of action sequences says."""

    @abstractmethod
    async def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in a field for files."""

    @abstractmethod
    async def resize(self, width: int, height: int) -> None:
        """Give the page a size in CSS pixels."""

    @abstractmethod
    async def screenshot(self) -> bytes:
        """The page as a PNG."""

    @abstractmethod
    async def close(self) -> None:
        """Close the tab."""

    async def wait_for(self, function: str, argument: object = None) -> Any:
        """Ask a function until its answer is true, also while the page is loaded anew. Raises `TimeoutError`."""
        last: object = None
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    try:
                        if last := await self.evaluate(function, argument):
                            return last
                    except Failed as error:
                        last = error
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise TimeoutError(f"{function} of {json.dumps(argument)} stayed {last!r}") from None

    async def see(self, selector: str, text: str = "") -> None:
        """Wait for an element that is drawn and has a text."""
        await self.wait_for(
            "([selector, text]) => [...document.querySelectorAll(selector)]"
            ".some((one) => one.textContent.includes(text) && one.checkVisibility({ visibilityProperty: true }))",
            [selector, text],
        )

    async def count(self, selector: str) -> int:
        """How many elements a selector has."""
        found: int = await self.evaluate("(selector) => document.querySelectorAll(selector).length", selector)
        return found

    async def point_at(self, selector: str, text: str = "") -> None:
        """Move the pointer to an element."""
        await self.perform([_pointer(await self.wait_for(_PLACE, [selector, text]))])

    async def click(self, selector: str, text: str = "") -> None:
        """Click an element."""
        press = ({"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0})
        await self.perform([_pointer(await self.wait_for(_PLACE, [selector, text]), *press)])

    async def type(self, text: str) -> None:
        """Type characters, one after the other."""
        await self.perform([_keyboard(*(step for one in text for step in _stroke(one)))])

    async def press(self, keys: str) -> None:
        """Press a key, or several together: ``Enter``, ``Control+k``."""
        pressed = [_KEYS.get(name, name) for name in keys.split("+")]
        down = [{"type": "keyDown", "value": key} for key in pressed]
        up = [{"type": "keyUp", "value": key} for key in reversed(pressed)]
        await self.perform([_keyboard(*down, *up)])


class Profile(ABC):
    """A profile: tabs that share storage, locks and workers, and nothing with other profiles."""

    @abstractmethod
    async def new_tab(self) -> Tab:
        """Open a tab in a window of its own, so that the page is visible."""

    @abstractmethod
    async def close(self) -> None:
        """Close its tabs, and forget its storage."""


class BrowserEngine(ABC):
    """A browser."""

    @abstractmethod
    async def new_profile(self) -> Profile:
        """Make a profile that is empty."""


def find_program(name: str) -> str:
    """The path of a program. Raises `Failed`."""
    found = shutil.which(name)
    if found is None:
        raise Failed(f"{name} was not found: make e2e-browsers installs it")
    return found


@asynccontextmanager
async def ended(*command: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that is asked to end at the end of the block, and killed if it doesn't."""
    process = await asyncio.create_subprocess_exec(*command, **options)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(DEADLINE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _pointer(place: Sequence[int], *then: Mapping[str, object]) -> Mapping[str, object]:
    x, y = place
    move = {"type": "pointerMove", "x": x, "y": y, "duration": 0}
    return {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": [move, *then]}


def _keyboard(*steps: Mapping[str, object]) -> Mapping[str, object]:
    return {"type": "key", "id": "keyboard", "actions": list(steps)}


def _stroke(key: str) -> tuple[Mapping[str, object], Mapping[str, object]]:
    return {"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}
