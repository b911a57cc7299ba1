"""The page for an own face: its picture, its numbers from a file that a tool writes, and limits that are those of the code."""

import json
import re

import pytest
from PIL import Image

import own_face
from project import ROOT
from studiolike.capture import quality
from studiolike.evaluation.report import SAME_PERSON

PAGE = (ROOT / "book" / "own-face.md").read_text(encoding="utf-8")


def test_the_page_gets_a_row_for_each_way_and_no_comment_stays():
    text = own_face.fill(PAGE)
    assert not re.search(r"<!-- (seen|astronaut)", text)
    numbers = json.loads(own_face.NUMBERS.read_text(encoding="utf-8"))
    assert list(numbers["ways"]) == list(own_face.WAYS) and all(f"| {way} | " in text for way in own_face.WAYS)
    assert f"means over {len(numbers['seeds'])} synthetic people" in text
    assert f"{numbers['astronaut']['face_seen']:.0%}".replace("%", " % was seen well") in text


def test_mean_and_range_are_told_and_one_value_alone():
    assert own_face.cell([0.5, 0.6, 0.7]) == "60 % (50–70)"
    assert own_face.cell([0.5, 0.501]) == "50 %"


def test_what_is_asked_and_not_there_is_an_error_and_other_pages_stay():
    assert own_face.fill("a page", ROOT / "missing.json") == "a page"
    with pytest.raises(KeyError):
        own_face.fill("<!-- astronaut: shoe_size -->")


def test_the_numbers_are_those_of_the_present_capture():
    numbers = json.loads(own_face.NUMBERS.read_text(encoding="utf-8"))
    one = own_face.seen_of(numbers["seeds"][0], [own_face.WAYS["one photo, from the front"]])[0]
    kept = numbers["ways"]["one photo, from the front"]
    assert {name: kept[name][0] for name in kept} == pytest.approx({name: one[name] for name in kept}, abs=0.02)


def test_the_limits_that_the_page_tells_are_those_of_the_code():
    rows = dict(re.findall(r"^- \*\*([\w ,]+)\*\*: (.+)$", PAGE, re.MULTILINE))
    assert f"below {SAME_PERSON}," in rows["Likeness"]
    assert f"less than {quality.TURNED:.0f}°" in rows["Head turned by"]
    assert f"above {100 * quality.MAX_CLIPPED:.0f} % the picture is refused" in rows["Burnt out to white"]
    assert f"most of its {own_face.FRAMES} frames" in rows["Pictures used"]
    assert f"from {quality.MAX_YAW:.0f} on it is refused" in PAGE


def test_a_film_is_sampled_as_often_as_the_page_says():
    import inspect

    from studiolike.capture import capture_video

    assert inspect.signature(capture_video).parameters["frames"].default == own_face.FRAMES


def test_the_picture_is_small_enough_for_a_phone_and_upright():
    path = ROOT / "book" / "_static" / "own-face.jpg"
    with Image.open(path) as picture:
        assert picture.height > picture.width >= 600
    assert path.stat().st_size <= 150_000
