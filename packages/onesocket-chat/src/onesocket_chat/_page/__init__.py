"""The chat's page for browsers: ES modules that `onesocket serve` serves as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_CLIENT: Final = "assets/onesocket"
"""Where the page has the JavaScript client: a wheel brings its files, a checkout has them beside this distribution."""
_WORKER: Final = f"{_CLIENT}/tabs/worker.js"
_INDEX: Final = "index.html"
_START: Final = "start.js"
"""A script, and no module; it works where the modules don't come."""
_HEAD_END: Final = b"</head>"
_LEFT_OUT: Final = "react"
"""The part of the client that a page without a build step has no use for."""


def page_files() -> dict[str, bytes]:
    """The page's files by their paths in its address, such as ``index.html`` and ``assets/main.js``."""
    files = _files_of(_HERE / "web")
    client = {name: body for name, body in _files_of(_client_folder()).items() if not name.startswith(f"{_LEFT_OUT}/")}
    files |= {f"{_CLIENT}/{name}": body for name, body in client.items()}
    files["assets/version.js"] = f"export const VERSION = '{_digest(files)}'\n".encode()
    files[_INDEX] = files[_INDEX].replace(_HEAD_END, _preloads(files) + _HEAD_END)
    return files


def _preloads(files: Mapping[str, bytes]) -> bytes:
    """Tags that have the browser load all modules at once, instead of each after the ones that import it."""
    names = sorted(name for name in files if name.endswith(".js") and name not in {_START, _WORKER})
    return "".join(f'<link rel="modulepreload" href="/{name}" />\n    ' for name in names).encode()


def _client_folder() -> Path:
    of_wheel = _HERE / "onesocket"
    return of_wheel if of_wheel.is_dir() else _HERE.parents[3] / "onesocket-js" / "src"


def _files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _digest(files: Mapping[str, bytes]) -> str:
    """Tabs share a connection by the code of one version alone."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {len(files[name])}\n".encode() + files[name])
    return digest.hexdigest()[:16]
