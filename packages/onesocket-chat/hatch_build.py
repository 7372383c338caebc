"""Hatchling's build hook: puts the files of the JavaScript client into the wheel, for the chat's page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.builders.wheel import WheelBuilderConfig

LEFT_OUT = "react"
"""The part that the page has no use for."""


class ClientBuildHook(BuildHookInterface[WheelBuilderConfig]):
    """Takes the client from beside this distribution, or from the source distribution, which holds a copy."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files; an editable installation reads them where they are."""
        if version == "editable":
            return
        root = Path(self.root)
        folders = (root.parent / "onesocket-js" / "src", root / "onesocket-js")
        source = next((folder for folder in folders if folder.is_dir()), None)
        if source is None:
            message = "the JavaScript client is missing: build from the repository, or from the source distribution"
            raise FileNotFoundError(message)
        for path in source.rglob("*.js"):
            name = path.relative_to(source)
            if name.parts[0] != LEFT_OUT:
                build_data["force_include"][str(path)] = f"onesocket_chat/_page/onesocket/{name.as_posix()}"
