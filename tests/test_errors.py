"""An optional library that is missing or broken gives one kind of error, with what to do and why."""

import sys

import pytest
from test_pictures import broken_library

from studiolike.errors import MissingExtra, optional


def test_a_missing_library_is_called_missing_and_a_present_one_comes_back(monkeypatch):
    assert optional("json", "capture").loads("1") == 1
    monkeypatch.setitem(sys.modules, "colorsys", None)
    with pytest.raises(
        MissingExtra, match=r"^this needs ColorSys: install it with  pip install 'studiolike\[book\] @ git.*'$"
    ) as caught:
        optional("colorsys", "book", "ColorSys")
    assert caught.value.trouble == "is missing" and caught.value.cause is None


@pytest.mark.parametrize("code", ["raise ValueError('x')", "raise OSError('x')", "raise RuntimeError('x')", "import not_there_x"])
def test_whatever_a_broken_library_raises_becomes_a_missing_extra_with_its_cause(code, tmp_path, monkeypatch):
    broken_library(tmp_path, monkeypatch, "broken_thing", code)
    with pytest.raises(MissingExtra, match="broken_thing, which cannot be loaded .*Error: .*x") as caught:
        optional("broken_thing", "book")
    assert caught.value.cause is caught.value.__cause__
