"""ONESOCKET_WIRE: a value that can't be met names the variable and what helps."""

import sys

import pytest

from onesocket.errors import InvalidOption, MissingExtra
from onesocket.wire import _frames


def test_another_value_is_an_error_that_names_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONESOCKET_WIRE", "C")
    with pytest.raises(InvalidOption, match=r"^ONESOCKET_WIRE is 'C'; it may be auto, c or python$"):
        _frames._choose()


def test_a_c_module_that_is_asked_for_and_missing_is_told_with_the_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onesocket.wire._native", None)
    monkeypatch.setenv("ONESOCKET_WIRE", "c")
    with pytest.raises(MissingExtra, match=r"unset ONESOCKET_WIRE.* ONESOCKET_BUILD=c") as caught:
        _frames._choose()
    assert isinstance(caught.value.__cause__, ImportError)
    for value in ("", "auto", "python"):
        monkeypatch.setenv("ONESOCKET_WIRE", value)
        assert _frames._choose()[1] == "python"
