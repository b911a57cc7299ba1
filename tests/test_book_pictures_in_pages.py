"""Figures of a page: numbered, and files instead of text."""

import base64
import io

import torch
from PIL import Image

from pictures_in_pages import Shelf, move_out, numbered, prepare
from studiolike.chapters import interactive


def png():
    stream = io.BytesIO()
    Image.new("RGB", (6, 4), "red").save(stream, "PNG")
    return stream.getvalue()


def shown(alt):
    data = base64.b64encode(png()).decode()
    return f'<figure><img alt="{alt}" src="data:image/png;base64,{data}"><figcaption>{alt}</figcaption></figure>'


def test_every_figure_gets_the_next_number(tmp_path):
    cells = [
        {"metadata": {}, "outputs": [{"data": {"text/html": shown("One")}}, {"data": {"text/html": [shown("Two")]}}]},
        {"metadata": {"tags": ["remove-output"]}, "outputs": [{"data": {"text/html": shown("Unseen")}}]},
        {"metadata": {}, "outputs": [{"data": {"text/html": "<b>no figure</b>"}}, {"data": {"text/html": shown("Three")}}]},
    ]
    prepare(cells, 4, Shelf(tmp_path))
    pages = [output["data"]["text/html"] for cell in cells for output in cell["outputs"]]
    for page, name in ((pages[0], "Figure 4.1"), (pages[1], "Figure 4.2"), (pages[4], "Figure 4.3")):
        assert f'<span class="caption-number">{name}.</span>' in page and f'alt="{name}. ' in page
    assert 'id="figure-4-3"' in pages[4] and "Figure" not in pages[2] + pages[3]


def test_pictures_become_files_that_are_stored_once_and_know_their_size(tmp_path):
    shelf = Shelf(tmp_path)
    page = move_out(shown("One") + shown("Two"), shelf)
    (file,) = (tmp_path / "_static" / "figures").iterdir()
    assert file.read_bytes() == png() and "base64" not in page
    assert page.count(f'src="../_static/figures/{file.name}"') == 2
    assert 'width="6" height="4"' in page and 'loading="lazy"' in page


def test_sliders_and_framed_pages_of_the_package_are_understood(tmp_path):
    frames = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    (tmp_path / "p.html").write_text('<p class="a">"Tom" &amp; Jerry</p>')
    shelf = Shelf(tmp_path / "book")
    slider, count = numbered(move_out(interactive.image_slider(frames, ["a", "b"], "A head").html, shelf), 1, 4)
    frame, count = numbered(move_out(interactive.page(tmp_path / "p.html", "A viewer", frames[0]).html, shelf), 1, count)
    assert count == 6 and "Figure 1.5." in slider and "Figure 1.6." in frame
    assert slider.count(".jpg") == 2 and "srcdoc" not in frame and 'sandbox="allow-scripts"' in frame
    (page,) = shelf.folder.glob("*.html")
    assert page.read_text() == (tmp_path / "p.html").read_text()
