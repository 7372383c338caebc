"""Prometheus' text format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ._metrics import Sample, label

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def metric_lines(kind: str, name: str, help_text: str, samples: Iterable[Sample]) -> Iterable[str]:
    """Yield the help, the type and the samples of one metric."""
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
    yield from sample_lines(name, samples)


def sample_lines(name: str, samples: Iterable[Sample]) -> Iterable[str]:
    """Yield samples of one name."""
    for attributes, value in samples:
        labels = ",".join(f'{label(key)}="{str(text).translate(_ESCAPES)}"' for key, text in attributes)
        yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"
