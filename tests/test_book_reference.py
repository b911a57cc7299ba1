"""The reference page: every public name, its signature and its docstring."""

import ast
import re

import pytest

import reference
from reference import MODULES, PACKAGE, ROOMS


@pytest.fixture(scope="module")
def page():
    return reference.reference()


def test_the_page_has_every_function_and_class_that_a_room_offers(page):
    sections = dict(re.findall(r"^## studiolike\.(\w+)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    assert list(sections) == [*MODULES, *ROOMS]
    for room in ROOMS:
        tree = ast.parse((PACKAGE / room / "__init__.py").read_text())
        offered = next(ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "__all__")
        shown = set(re.findall(r"^### (\w+)$", sections[room], re.MULTILINE))
        assert {name for name in offered if not name.isupper() or name == "KID"} <= shown | {"KID"}, room


def test_a_public_name_without_a_docstring_stops_the_build():
    bare = ast.parse("def nothing_said(x):\n    return x").body[0]
    with pytest.raises(reference.BookError, match="nothing_said is public and has no docstring"):
        reference.entry(bare)


def test_no_signature_is_wider_than_a_page(page):
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)).splitlines()
    assert sum(len(line) > reference.WIDTH for line in code) <= 3


def test_prose_of_a_docstring_is_text_and_its_sections_are_lists():
    told = reference.markdown(
        "Blur of <x> by w_avg.\n\nArgs:\n    x: ``(B, C)`` a. y: more,\n        and more.\nRaises:\n    InputError: no."
    )
    assert "\\<x\\> by w\\_avg" in told.replace(">", "\\>") or "\\<x> by w\\_avg" in told
    assert "- `x`: ``(B, C)`` a.\n- `y`: more, and more." in told and "**Raises**\n\n- `InputError`: no." in told


def test_a_long_signature_has_one_argument_a_line_and_a_data_class_shows_its_fields():
    call = ast.parse(
        "def f(first: dict[str, tuple[int, int]], *, second: str = 'a, b', " + "c" * 60 + ": int = 1) -> None: ..."
    ).body[0]
    assert "    first: dict[str, tuple[int, int]],\n    *,\n    second: str='a, b',\n" in reference.signature(call)
    data = ast.parse("class A:\n    x: int = 1\n    _y: int = 2").body[0]
    assert reference.signature(data) == "class A\n    x: int = 1"
