"""The libraries, pinned, and every compression that each can ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Runtime = Literal["Python", "Node.js"]

NONE: Final = "none"
PAYLOAD: Final = "payload"
ZLIB: Final = "zlib-stream"
ZSTD: Final = "zstd-stream"


@dataclass(frozen=True)
class Library:
    """One library, and the script in `clients` that is a bot written with it."""

    name: str
    package: str
    version: str
    runtime: Runtime
    script: str
    compressions: Mapping[str, tuple[str, ...]]
    """Each that it can ask for, and what has to be installed beside it so that it does, or runs at all."""


@dataclass(frozen=True)
class BotEnvironment:
    """A throwaway environment: what is installed in it."""

    name: str
    runtime: Runtime
    packages: tuple[str, ...]


@dataclass(frozen=True)
class TrialCase:
    """One library with one compression: a row of the table."""

    library: Library
    compression: str

    def __str__(self) -> str:
        return f"{self.library.name} {self.library.version}, {self.compression}"

    @property
    def environment(self) -> BotEnvironment:
        """The environment of its bot; rows may share one."""
        library = self.library
        extra = library.compressions[self.compression]
        separator = "==" if library.runtime == "Python" else "@"
        name = "+".join([library.name, *(pin.partition(separator)[0] for pin in extra)])
        return BotEnvironment(name, library.runtime, (f"{library.package}{separator}{library.version}", *extra))


LIBRARIES: Final = (
    Library("discord.py", "discord.py", "2.7.1", "Python", "discord_py.py", {ZLIB: (), ZSTD: ("zstandard==0.25.0",)}),
    Library(
        "hikari",
        "hikari",
        "2.7.0",
        "Python",
        "hikari_bot.py",
        {NONE: (), PAYLOAD: (), ZLIB: (), ZSTD: ("backports.zstd==1.8.0",)},
    ),
    Library(
        "nextcord",
        "nextcord",
        "2.6.0",
        "Python",
        "nextcord_bot.py",
        # It imports pkg_resources, which a fresh environment lacks, and audioop, which Python 3.13 has lost.
        {ZLIB: ("setuptools==80.9.0", "audioop-lts==0.2.2; python_version >= '3.13'")},
    ),
    Library("disnake", "disnake", "2.12.2", "Python", "disnake_bot.py", {NONE: (), ZLIB: ()}),
    Library("interactions.py", "discord-py-interactions", "5.16.0", "Python", "interactions_py.py", {ZLIB: ()}),
    Library(
        "discord.js",
        "discord.js",
        "14.28.1",
        "Node.js",
        "discord_js.mjs",
        {NONE: (), PAYLOAD: (), ZLIB: ("zlib-sync@0.1.10",)},
    ),
    Library("eris", "eris", "0.18.0", "Node.js", "eris_bot.mjs", {NONE: (), ZLIB: ("zlib-sync@0.1.10",)}),
    Library(
        "oceanic.js",
        "oceanic.js",
        "1.15.0",
        "Node.js",
        "oceanic_js.mjs",
        {NONE: (), ZLIB: (), ZSTD: ("zstd-napi@0.0.12",)},
    ),
)


def trial_cases(only: tuple[str, ...] = (), *, python_only: bool = False) -> list[TrialCase]:
    """Every row, or those of the libraries that are named."""
    return [
        TrialCase(library, compression)
        for library in LIBRARIES
        if (not only or library.name in only) and (library.runtime == "Python" or not python_only)
        for compression in library.compressions
    ]
