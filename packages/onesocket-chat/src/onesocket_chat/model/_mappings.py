"""Mappings with one entry more, or less: the ones before stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def with_entry(mapping: Mapping[K, V], key: K, value: V) -> Mapping[K, V]:
    """The mapping with this entry; the same object if it has it."""
    return mapping if key in mapping and mapping[key] == value else {**mapping, key: value}


def without_entry(mapping: Mapping[K, V], key: K) -> Mapping[K, V]:
    """The mapping without this key; the same object if it hasn't got it."""
    return {other: value for other, value in mapping.items() if other != key} if key in mapping else mapping
