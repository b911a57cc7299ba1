"""The viewer page: self-contained, labelled, and carrying the head it was given."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from browse import ARGUMENTS, find_chromium
from studiolike import layout
from studiolike.avatar import head_mesh, relight, write_glb, write_viewer
from studiolike.avatar.render import camera_distance
from studiolike.errors import InputError

HOSTILE = '</script><img src="https://example.org/x.png">'


@pytest.fixture(scope="module")
def mesh():
    return head_mesh(grid=16)


@pytest.fixture(scope="module")
def textures():
    rng = torch.Generator().manual_seed(0)
    return {
        "phone": torch.rand(3, 32, 32, generator=rng),
        "studio": torch.rand(3, 32, 32, generator=rng),
        "detailed": torch.rand(3, 640, 640, generator=rng),
    }


@pytest.fixture(scope="module")
def text(mesh, textures, tmp_path_factory):
    path = tmp_path_factory.mktemp("viewer") / "head.html"
    return write_viewer(mesh, path, textures, title="Head & shoulders").read_text("utf-8")


class Page(HTMLParser):
    """Collects tags with their attributes, and the text of the data block."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.block, self.words = [], None, {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.setdefault(self.tags[-1][0] if self.tags else "", []).append(data)

    def find(self, tag, **attributes):
        return [a for t, a in self.tags if t == tag and attributes.items() <= a.items()]


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_nothing_is_fetched_from_anywhere(text):
    assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    assert "default-src 'none'" in Page(text).find("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    for tag, attributes in Page(text).tags:
        assert tag not in ("link", "iframe", "object", "embed")
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "data:").startswith("data:")


def test_the_page_has_a_language_a_title_a_labelled_focusable_view_and_a_still_picture(text):
    page = Page(text)
    assert page.find("html")[0]["lang"] == "en"
    assert "<title>Head &amp; shoulders</title>" in text
    (canvas,) = page.find("canvas")
    assert canvas["aria-label"] and canvas["tabindex"] == "0"
    (still,) = page.find("img")
    assert still["alt"] and "hidden" not in still
    picture = Image.open(io.BytesIO(base64.b64decode(still["src"].split(",")[1])))
    assert picture.size == (384, 384) and np.asarray(picture).std() > 5
    assert "prefers-color-scheme: dark" in text


def test_the_switch_holds_every_texture_by_name_and_in_order(text, textures):
    held = data_of(text)["textures"]
    assert [name for name, _ in held] == list(textures)
    for (name, address), kind in zip(held, ("png", "png", "jpeg"), strict=True):
        assert address.startswith(f"data:image/{kind};base64,")
        picture = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGB")
        assert picture.size == tuple(textures[name].shape[-2:])
        wrong = np.abs(np.asarray(picture) / 255 - textures[name].permute(1, 2, 0).numpy())
        assert wrong.mean() < (0.003 if kind == "png" else 0.05)


def test_quantised_vertices_are_the_heads_own(text, mesh):
    data = data_of(text)

    def unpack(name, dtype, width):
        return np.frombuffer(base64.b64decode(data[name]), dtype).reshape(-1, width).astype(float)

    low = mesh.vertices.amin(0).numpy()
    positions = unpack("positions", "<u2", 4)[:, :3] / 65535 * np.array(data["extent"]) + low
    assert np.abs(positions - mesh.vertices.numpy()).max() < 1e-3  # cm
    assert np.abs(unpack("uv", "<u2", 2) / 65535 - mesh.uv.numpy()).max() < 1e-5
    assert np.abs(unpack("normals", "i1", 4)[:, :3] / 127 - mesh.normals.numpy()).max() < 0.005
    assert np.array_equal(unpack("indices", "<u4", 3), mesh.triangles.numpy()) and data["count"] == 3 * len(mesh.triangles)


def test_every_template_mark_is_filled_and_the_script_is_complete(text):
    assert not re.search(r"\$(title|description|still|data)\b", text)
    assert "`${" in text and "$${" not in text
    script = text[text.rindex("<script>") :]
    for opened, closed in ("()", "[]", "{}"):
        assert script.count(opened) == script.count(closed)


def test_a_lamp_can_be_moved_by_labelled_sliders_and_other_textures_come_only_from_the_page_around(text):
    page = Page(text)
    assert [a["value"] for a in page.find("input", type="radio", name="light")] == ["studio", "lamp", "none"]
    assert {a["id"] for a in page.find("input", type="range")} == {"yaw", "side", "height"}
    assert data_of(text)["own"] == list(relight.ONE_LAMP)
    assert "e.source === window.parent" in text and "data:image" in text


HELD = """async ([textures, places]) => {
  const frame = document.querySelector("iframe"), gl = frame.contentDocument.getElementById("view").getContext("webgl2");
  frame.contentWindow.postMessage({ textures, places: places && Float32Array.from(places) }, "*");
  await new Promise((done) => setTimeout(done, 500));
  const program = gl.getParameter(gl.CURRENT_PROGRAM);
  const uniform = (name) => [...gl.getUniform(program, gl.getUniformLocation(program, name))];
  const held = (name, Kind) => {
    const slot = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.getVertexAttrib(slot, gl.VERTEX_ATTRIB_ARRAY_BUFFER_BINDING));
    const numbers = new Kind(gl.getBufferParameter(gl.ARRAY_BUFFER, gl.BUFFER_SIZE) / Kind.BYTES_PER_ELEMENT);
    gl.getBufferSubData(gl.ARRAY_BUFFER, 0, numbers);
    return [...numbers];
  };
  return [held("place", Uint16Array), held("normal", Int8Array), uniform("extent"), uniform("lens")];
}"""


@pytest.mark.slow
def test_a_head_that_the_page_around_hands_over_has_the_normals_and_the_distance_that_the_package_gives_it(mesh, text, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="no driver of a browser here")
    if not (chromium := find_chromium()):
        pytest.skip("no Chromium here")
    other = head_mesh(layout.position_map(64) * torch.tensor([1.2, 1.0, 0.9])[:, None, None], grid=16)
    textures = data_of(text)["textures"][:1]
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox", *ARGUMENTS])
        page = browser.new_page()
        page.set_content("<iframe></iframe>")
        page.evaluate("(text) => { document.querySelector('iframe').srcdoc = text; }", text)
        page.frame_locator("iframe").locator("#controls").wait_for()
        hands = [other.vertices.flatten().tolist(), mesh.vertices[:9].flatten().tolist()]  # the second does not fit
        handed, unfit = (page.evaluate(HELD, [textures, places]) for places in hands)
        browser.close()
    for (places, normals, extent, lens), head in ((handed, other), (unfit, mesh)):
        low = head.vertices.amin(0).numpy()
        found = np.array(places).reshape(-1, 4)[:, :3] / 65535 * np.array(extent) + low
        assert np.abs(found - head.vertices.numpy()).max() < 1e-3  # cm
        assert np.abs(np.array(normals).reshape(-1, 4)[:, :3] / 127 - head.normals.numpy()).max() < 0.01
        assert abs(lens[2] - camera_distance(head)) < 0.01


def test_names_and_titles_cannot_break_out_of_their_place(mesh, tmp_path):
    text = write_viewer(mesh, tmp_path / "x.html", {HOSTILE: torch.zeros(3, 8, 8)}, title=HOSTILE, description=HOSTILE).read_text(
        "utf-8"
    )
    page = Page(text)
    assert len(page.find("script")) == 2 and len(page.find("img")) == 1
    assert data_of(text)["textures"][0][0] == HOSTILE


def test_a_glb_file_brings_its_own_texture_and_the_page_repeats_byte_for_byte(mesh, textures, tmp_path):
    write_glb(mesh, textures["phone"], tmp_path / "head.glb")
    first = write_viewer(tmp_path / "head.glb", tmp_path / "a.html")
    second = write_viewer(tmp_path / "head.glb", tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()
    assert len(data_of(first.read_text("utf-8"))["textures"]) == 1


def test_a_viewer_without_texture_is_refused(mesh, tmp_path):
    with pytest.raises(InputError, match="at least one texture"):
        write_viewer(mesh, tmp_path / "x.html")
    assert not list(tmp_path.iterdir())
