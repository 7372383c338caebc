"""`Client` and `SharedClient` have the methods of `MessageClient`, with the same parameters and defaults."""

import inspect
from typing import Any

import pytest

from onesocket import Client, SharedClient
from onesocket.client import MessageClient

MEMBERS = sorted(name for name in vars(MessageClient) if not name.startswith("_") or name == "__aiter__")


def parameters_of(kind: type[Any], name: str) -> dict[str, tuple[Any, Any]]:
    member = inspect.getattr_static(kind, name)
    if isinstance(member, property):
        return {}
    return {each.name: (each.kind, each.default) for each in inspect.signature(member).parameters.values()}


@pytest.mark.parametrize("kind", [Client, SharedClient])
@pytest.mark.parametrize("name", MEMBERS)
def test_a_method_has_the_parameters_and_defaults_of_the_interface(kind: type[Any], name: str) -> None:
    wanted, given = parameters_of(MessageClient, name), parameters_of(kind, name)
    assert {each: given[each] for each in wanted} == wanted
    assert all(default is not inspect.Parameter.empty for each, (_, default) in given.items() if each not in wanted)
    assert inspect.iscoroutinefunction(getattr(kind, name)) is inspect.iscoroutinefunction(getattr(MessageClient, name))


def test_the_interface_has_what_both_clients_have() -> None:
    public = [{name for name in dir(kind) if not name.startswith("_")} for kind in (Client, SharedClient)]
    assert set.intersection(*public) <= set(MEMBERS)
