"""Figures: shown once, with a text alternative, on white; sliders that need nothing but the page."""

import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from studiolike.chapters import figures, interactive
from studiolike.errors import InputError

pytest.importorskip("matplotlib")
FRAMES = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0))
LABELS = ["0°", "45°", "<90°>"]


def tags(text):
    """All start tags of a page with their attributes."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, dict(attributes)))
    parser.feed(text)
    return found


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


@pytest.fixture
def shown(monkeypatch):
    """Collects what would be displayed."""
    display = pytest.importorskip("IPython.display")
    pieces = []
    monkeypatch.setattr(display, "display", lambda data, metadata, raw: pieces.append((data, metadata)))
    return pieces


def test_a_figure_is_shown_once_with_its_text_and_then_closed(shown):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    fig = pyplot.figure()
    figures.show(fig, 'A "quoted" picture')
    assert len(shown) == 1 and not pyplot.fignum_exists(fig.number)
    data, metadata = shown[0]
    assert metadata["image/png"]["alt"] == data["text/plain"] == 'A "quoted" picture'
    (figure, _), (tag, attributes), (caption, said) = tags(data["text/html"])
    assert (figure, tag, caption) == ("figure", "img", "figcaption") and attributes["alt"] == 'A "quoted" picture'
    # seen as a caption, heard once: a screen reader has read it with the picture
    assert ">A &quot;quoted&quot; picture</figcaption>" in data["text/html"] and said["aria-hidden"] == "true"


def test_a_figure_without_text_is_refused(shown):
    from matplotlib.figure import Figure

    fig = Figure()
    with pytest.raises(InputError, match="text alternative"):
        figures.show(fig, "  ")
    assert not shown


def test_figures_sit_on_white_with_padding_and_repeat_byte_for_byte():
    from matplotlib.figure import Figure

    def made():
        fig = Figure()
        fig.subplots().plot([0, 1], [0, 1])
        return figures.png_bytes(fig)

    assert made() == made()
    picture = pixels(made())
    border = np.concatenate([picture[:8].reshape(-1, 3), picture[-8:].reshape(-1, 3), picture[:, :8].reshape(-1, 3)])
    assert (border == 255).all() and picture.min() < 100


def test_the_style_ends_with_its_block_and_applies_when_asked():
    import matplotlib

    with matplotlib.rc_context():
        before = dict(matplotlib.rcParams)
        with figures.style():
            assert matplotlib.rcParams["figure.facecolor"] == figures.PAPER
        assert dict(matplotlib.rcParams) == before
        figures.apply_style()
        assert matplotlib.rcParams["axes.prop_cycle"].by_key()["color"] == list(figures.PALETTE)


def test_colours_with_a_meaning_stand_out_from_white_and_from_each_other():
    def light(colour):
        rgb = torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ torch.tensor([0.2126, 0.7152, 0.0722]))

    for colour in figures.COLOURS.values():
        assert 1.05 / (light(colour) + 0.05) >= 2.9  # WCAG asks 3 of graphics
    assert len(set(figures.COLOURS.values())) == len(figures.COLOURS)
    assert len(figures.PALETTE) == len(figures.MARKERS) == len(figures.DASHES)


def test_a_texture_grid_shows_every_picture_upright_at_its_place():
    picture = torch.zeros(3, 16, 16)
    picture[0, :8] = 1  # upper half red
    fig = figures.texture_grid([[picture, None], torch.ones(2, 1, 16, 16)], ["a", "b"], ["first", "second"])
    assert len(fig.axes) == 4 and not fig.axes[1].images
    shown = fig.axes[0].images[0].get_array()
    assert shown[0, 0].tolist() == [255, 0, 0] and shown[-1, 0].tolist() == [0, 0, 0]
    assert fig.axes[2].images[0].get_array().shape == (16, 16)
    assert [ax.get_title() for ax in fig.axes[:2]] == ["first", "second"] and fig.axes[2].get_ylabel() == "b"
    assert fig.get_figwidth() <= figures.WIDTH
    wide = figures.texture_grid([[picture] * 12])
    assert wide.get_figwidth() <= figures.WIDTH + 1e-6


@pytest.mark.parametrize(
    "rows, titles", [([], ()), ([[]], ()), ([[FRAMES[0]], [FRAMES[0]] * 2], ()), ([[FRAMES[0]]], ("a", "b")), ([[FRAMES]], ())]
)
def test_a_grid_that_does_not_fit_is_refused(rows, titles):
    with pytest.raises(InputError):
        figures.texture_grid(rows, titles)


def test_a_slider_is_labelled_operable_by_keyboard_and_needs_no_network():
    piece = interactive.image_slider(FRAMES, LABELS, "A turning head", name="View")
    found = tags(piece.html)
    (control,) = [a for tag, a in found if tag == "input"]
    assert (control["type"], control["min"], control["max"]) == ("range", "0", "2")
    assert control["aria-valuetext"] == "0°"
    assert [a["for"] for tag, a in found if tag == "label"] == [control["id"]]
    images = [a for tag, a in found if tag == "img"]
    assert [a["data-label"] for a in images] == LABELS and all("A turning head" in a["alt"] for a in images)
    assert ["display:block" in a["style"] for a in images] == [True, False, False]
    assert all(a["src"].startswith("data:image/jpeg;base64,") for a in images)
    assert not re.search("https?:", piece.html) and "<script" not in piece.html
    assert ">A turning head</figcaption>" in piece.html


def test_ids_follow_from_the_content_and_differ_between_sliders():
    def mark(*arguments, **options):
        return re.search(r'figure id="([^"]+)"', interactive.image_slider(*arguments, **options).html)[1]

    assert mark(FRAMES, LABELS, "x") == mark(FRAMES, LABELS, "x")
    others = [mark(FRAMES, LABELS, "y"), mark(FRAMES.flip(0), LABELS, "x")]
    assert len({mark(FRAMES, LABELS, "x"), *others}) == 3


def test_a_wipe_holds_both_pictures_and_names_its_control():
    piece = interactive.before_after(FRAMES[0], FRAMES[1], "A face", labels=("phone", "studio"))
    found = tags(piece.html)
    assert [a["alt"] for tag, a in found if tag == "img"] == ["A face: phone", "A face: studio"]
    (control,) = [a for tag, a in found if tag == "input"]
    assert control["aria-label"] == "share of phone" and "clipPath" in control["oninput"]
    with pytest.raises(InputError, match="resize"):
        interactive.before_after(FRAMES[0], FRAMES[0, :, :8, :8], "x")


def test_frames_that_are_wide_stand_below_each_other_in_print():
    square, wide = (interactive.image_slider(torch.ones(5, 3, 16, 16 * k), "abcde", "x").still for k in (1, 3))
    assert pixels(square).shape == (272, 5 * 264 + 8, 3)
    assert pixels(wide).shape == (2 * 264 + 8, 3 * (768 + 8) + 8, 3)


def test_pieces_of_html_bring_a_still_picture_for_print():
    data, metadata = interactive.image_slider(FRAMES, LABELS, "A head")._repr_mimebundle_()
    assert set(data) == {"text/html", "image/png", "text/plain"} and "A head" in metadata["image/png"]["alt"]
    assert pixels(interactive.before_after(FRAMES[0], FRAMES[1], "x").still).shape == (272, 536, 3)


@pytest.mark.parametrize(
    "frames, labels, alt", [([], [], "x"), (FRAMES, ["a"], "x"), (FRAMES, LABELS, ""), ([FRAMES], ["a"], "x")]
)
def test_a_slider_that_lacks_something_is_refused(frames, labels, alt):
    with pytest.raises(InputError):
        interactive.image_slider(frames, labels, alt)


def test_a_page_is_framed_whole_and_cannot_reach_out(tmp_path):
    (tmp_path / "p.html").write_text('<p class="a">Tom & "Jerry"</p>', "utf-8")
    piece = interactive.page(tmp_path / "p.html", "A page", FRAMES[0])
    _, (tag, frame), (caption, _) = tags(piece.html)
    assert (tag, caption) == ("iframe", "figcaption") and frame["title"] == "A page" and frame["sandbox"] == "allow-scripts"
    assert frame["srcdoc"] == '<p class="a">Tom & "Jerry"</p>'
    with pytest.raises(InputError, match="no such file"):
        interactive.page(tmp_path / "none.html", "A page", FRAMES[0])


def test_wide_frames_keep_their_shape_in_print():
    still = Image.open(io.BytesIO(interactive.image_slider(torch.zeros(1, 3, 32, 96), ["0°"], "Two heads").still))
    dark = pixels(interactive.image_slider(torch.zeros(1, 3, 32, 96), ["0°"], "Two heads").still).sum(2) == 0
    assert dark.any(0).sum() == 3 * dark.any(1).sum() == 768 and still.height == 272
