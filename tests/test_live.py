"""Live controls: a picture is drawn at once, and again when a control moves."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from studiolike.chapters import live
from studiolike.errors import InputError

pytest.importorskip("ipywidgets")


def brightness(box):
    return np.asarray(Image.open(io.BytesIO(box.children[0].value))).mean() / 255


def flat(level=0.0, size=8, colour="grey"):
    picture = torch.full((3, size, size), float(level))
    return picture * torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1) if colour == "red" else picture


def test_the_picture_follows_every_kind_of_control():
    box = live.explore(flat, "a flat picture", level=(0.0, 1.0, 0.5), size=(4, 16, 8), colour=["grey", "red"])
    picture, label, level, size, colour = box.children
    assert label.value == "a flat picture" and brightness(box) == pytest.approx(0.5, abs=0.01)
    level.value = 1.0
    assert brightness(box) == pytest.approx(1, abs=0.01)
    size.value = 16
    assert Image.open(io.BytesIO(picture.value)).size == (16, 16)
    colour.value = "red"
    assert brightness(box) == pytest.approx(1 / 3, abs=0.02)


def test_integers_make_whole_steps_and_floats_twenty():
    box = live.explore(flat, "a flat picture", level=(0.0, 1.0, 0.5), size=(4, 16, 8))
    assert box.children[2].step == pytest.approx(0.05) and isinstance(box.children[3].value, int)
    assert not box.children[2].continuous_update  # a picture may cost seconds


@pytest.mark.parametrize(
    "controls", [{}, {"level": (0.0, 1.0)}, {"level": (1.0, 0.0, 0.5)}, {"level": (0.0, 1.0, 2.0)}, {"colour": []}, {"level": 3}]
)
def test_controls_of_another_form_are_refused(controls):
    with pytest.raises(InputError):
        live.explore(flat, "a flat picture", **controls)
