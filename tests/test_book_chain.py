"""The picture of the chain at the top of every chapter."""

import re
from xml.etree import ElementTree

import pytest

import chain
from project import chapters


@pytest.mark.parametrize("here", range(1, 8))
def test_the_picture_marks_one_stage_and_says_so_in_words(here):
    picture = ElementTree.fromstring(chain.as_svg(here))
    filled = [r for r in picture.iter("rect") if r.get("fill") == "currentColor"]
    assert len(filled) == 1 and len(list(picture.iter("rect"))) == len(chain.STAGES)
    assert picture.get("role") == "img" and f"chapter {here}, {chain.STAGES[here][0]}" in picture.get("aria-label")
    assert chain.STAGES[here][0] in re.findall(r"\*\*(.+?)\*\*", chain.in_words(here))


def test_no_colour_is_fixed_so_that_the_picture_follows_the_theme():
    assert set(re.findall(r"#[0-9a-f]{3,6}\b", chain.as_svg(3))) <= {"#1b1b1b", "#fff"}  # where the page names none
    assert "url(http" not in chain.as_svg(3)


def test_boxes_lie_inside_the_picture_and_do_not_overlap():
    picture = ElementTree.fromstring(chain.as_svg(1))
    _, _, width, height = map(float, picture.get("viewBox").split())
    boxes = [[float(r.get(k)) for k in ("x", "y", "width", "height")] for r in picture.iter("rect")]
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
    for k, (x, y, w, h) in enumerate(boxes):
        assert all(x + w < a or a + c < x or y + h < b or b + d < y for a, b, c, d in boxes[k + 1 :])


def test_it_stands_below_the_title_as_a_picture_or_in_words():
    def page():
        return {"cells": [{"cell_type": "markdown", "source": ["(ch04)=\n", "# Title\n", "\n", "Text."]}]}

    shown = chain.put_in(page(), "ch04-adaptation")["cells"][0]["source"]
    assert shown.startswith("(ch04)=\n# Title\n\n```{raw} html\n<svg") and shown.endswith("```\n\nText.")
    told = chain.put_in(page(), "ch04-adaptation", pictures=False)["cells"][0]["source"]
    assert "# Title\n\n*You are here:*" in told and "**G_studio**" in told
    assert chain.put_in(page(), "ch99-other") == page()


def test_every_chapter_has_a_stage():
    assert [chain.number_of(source.stem) for source in chapters()] == list(chain.STAGES)
