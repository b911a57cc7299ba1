"""What `view` makes besides a mesh and a page: relief, light, films, and files that a strict reader accepts."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from browse import ARGUMENTS, find_chromium
from studiolike import avatar, files, io, layout
from studiolike.avatar.mesh import tangents
from studiolike.avatar.movie import write_movie
from studiolike.avatar.relight import ENVIRONMENTS, ONE_LAMP, lamp, light_of
from studiolike.avatar.report import marked_origin
from studiolike.avatar.shape import BASE, OWN
from studiolike.cli import View
from studiolike.detail import origin
from studiolike.errors import InputError, OutputError
from studiolike.record import RECORD, record, sentence, write_marked

VALIDATE = """
const path = process.argv[1], validator = require('gltf-validator');
validator.validateBytes(new Uint8Array(require('fs').readFileSync(path)))
  .then((report) => console.log(report.issues.numErrors + report.issues.numWarnings, JSON.stringify(report.issues.messages)));
"""


@pytest.fixture(scope="module")
def skin():
    """An even skin with one dark dot on the cheek."""
    texture = torch.full((3, 256, 256), 0.6)
    texture[:, 150:153, 95:98] = 0.4
    return texture


def test_the_khronos_validator_finds_nothing_to_say(skin, tmp_path):
    node, packages = shutil.which("node"), Path(__file__).parent / "node/node_modules"
    if not node or not (packages / "gltf-validator").is_dir():
        pytest.skip("no gltf-validator: make test installs it where npm is")
    for name, relief in (("relief", avatar.normal_map(skin)), ("smooth", None)):
        path = avatar.write_glb(avatar.head_mesh(), skin, tmp_path / f"{name}.glb", relief)
        done = subprocess.run(
            [node, "-e", VALIDATE, str(path)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"NODE_PATH": str(packages)},
        )
        assert done.stdout.split(" ", 1)[0] == "0", done.stdout


def test_tangents_are_unit_vectors_across_the_normal_that_follow_u():
    mesh = avatar.head_mesh(grid=32)
    found = tangents(mesh)
    along = found[:, :3]
    assert torch.allclose(along.norm(dim=-1), torch.ones(len(along)), atol=1e-5) and (found[:, 3] == 1).all()
    assert (along * mesh.normals).sum(-1).abs().max() < 1e-5
    nose = (mesh.uv - torch.tensor([0.5, 0.5])).norm(dim=-1).argmin()
    assert along[nose, 0] > 0.9  # u runs to the subject's left, +x
    up = torch.linalg.cross(mesh.normals, along)
    assert up[nose, 1] > 0.7  # green points up
    left, right = mesh.uv[:, 0] == 0, mesh.uv[:, 0] == 1
    assert torch.equal(along[left], along[right])  # no seam at the back


def test_a_dark_dot_on_the_skin_is_a_pit_in_the_normal_map(skin):
    normals = avatar.normal_map(skin) * 2 - 1
    assert torch.allclose(normals.norm(dim=0), torch.ones(256, 256), atol=1e-4)
    left, right, above, below = normals[:, 151, 94], normals[:, 151, 98], normals[:, 149, 96], normals[:, 153, 96]
    # the walls of a pit look to its middle; green is up
    assert left[0] > 0.01 and right[0] < -0.01 and above[1] < -0.01 and below[1] > 0.01
    flat = layout.region_mask("skin_face", 256)[0] == 0
    assert (normals[:2, flat]).abs().max() < 0.01  # nothing beyond the skin
    assert avatar.normal_map(skin[:, ::2, ::2]) is None


def test_four_lights_differ_and_a_texture_without_light_shows_each_of_them(skin):
    mesh = avatar.head_mesh(grid=16)
    sheet = avatar.relit_sheet(mesh, {"phone": skin * torch.linspace(0.3, 1, 256), "studio": skin}, size=48)
    assert len(ENVIRONMENTS) == 4 and sheet.shape[0] == 3 and sheet.shape[-1] > 5 * 48
    forward = torch.nn.functional.normalize(torch.tensor([[-0.6, 0.0, 0.8], [0.6, 0.0, 0.8]]), dim=-1)
    window, sun = light_of("window, left")(forward).mean(-1), light_of("low sun, right")(forward).mean(-1)
    assert window[0] > 1.5 * window[1] and sun[1] > 1.5 * sun[0]
    with pytest.raises(InputError, match="known"):
        light_of("moon")


def test_a_lamp_lights_what_faces_it_and_leaves_the_rest_in_the_light_from_everywhere():
    left, up, back = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
    ambient, strength, _ = ONE_LAMP
    for direction, light in ((left, lamp(-90, 0)), (up, lamp(0, 90)), (back, lamp(180, 0))):
        towards, away = light(torch.stack([direction, -direction])).tolist()
        assert towards == pytest.approx(ambient + strength, abs=1e-5) and away == pytest.approx(ambient)


@pytest.mark.parametrize("ending", [".mp4", ".gif", ".webp", ".png"])
def test_a_turntable_moves_in_every_format(ending, tmp_path):
    frames = torch.zeros(6, 3, 64, 64)
    for k in range(6):
        frames[k, :, :, 8 * k : 8 * k + 16] = 1
    if ending == ".mp4":
        av = pytest.importorskip("av")
    path = write_movie(frames, tmp_path / f"turn{ending}")
    if ending == ".mp4":
        with av.open(str(path)) as film:
            pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    else:
        with Image.open(path) as film:
            assert film.n_frames == 6 and film.info.get("loop") == 0
            film.seek(5)
            pictures = [None] * 5 + [np.asarray(film.convert("RGB"))]
    assert len(pictures) == 6
    assert pictures[5][:, 42:54].mean() > 200 and pictures[5][:, :30].mean() < 50


def test_view_writes_everything_or_nothing(tmp_path, skin, monkeypatch):
    source = io.write_image(skin, tmp_path / "in" / "skin.png")
    out = tmp_path / "out"
    monkeypatch.setattr(files, "TURNS", 3)
    monkeypatch.setattr(files, "TURN_SIZE", 32)
    wanted = {"turntable": out / "t.gif", "relit": out / "sheet.png", "before": source}
    written = files.export_avatar(View(source, out / "a.glb", **wanted))
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in written) == ["a.glb", "a.html", "sheet.png", "t.gif"]
    before = {p.name: p.read_bytes() for p in out.iterdir()}

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(avatar, "write_movie", no_space)
    with pytest.raises(OutputError, match="No space left"):
        files.export_avatar(View(source, out / "a.glb", **wanted, normals=False, overwrite=True))
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    with pytest.raises(OutputError, match="overwrite the input"):
        files.export_avatar(View(source, out / "b.glb", relit=source))
    with pytest.raises(InputError, match="--relit"):
        files.export_avatar(View(source, out / "b.glb", before=source))
    with pytest.raises(InputError, match="turntable can end"):
        files.export_avatar(View(source, out / "b.glb", turntable=out / "t.avi"))


def test_large_textures_shrink_for_the_avatar(tmp_path):
    Image.new("RGB", (300, 300), (10, 20, 30)).save(tmp_path / "x.png")
    assert files.read_bounded(tmp_path / "x.png").shape == (3, 256, 256)
    small = files.read_bounded(tmp_path / "x.png", 64)
    assert small.shape == (3, 64, 64) and torch.allclose(small[:, 5, 5] * 255, torch.tensor([10.0, 20.0, 30.0]))


def test_the_report_page_loads_nothing_and_says_what_was_not_seen(tmp_path, skin):
    visibility = torch.ones(1, 256, 256)
    visibility[..., 128:] = 0
    sources = origin(visibility[None])[0]
    made = record(visibility, sources, {"guided": True}, "open")
    facts = {
        "warnings": ["<b>dark</b>"],
        "seconds": {"encoding": 0.114, "detailing": 1.5},
        "likeness": "<b>near",
        "metrics": {"psnr": 20.1},
        "yaw": 12.0,
        "pitch": -10.2,
    }
    path = avatar.write_report(tmp_path / "r.html", skin, visibility, skin, sources, made, name="<i>me</i>", facts=facts)
    text = path.read_text("utf-8")
    assert "&lt;b&gt;dark" in text and "<b>" not in text and "<i>" not in text
    assert f"{made['seen']['face_unseen']:.0%} not at all" in text and "1.50 s" in text and "20.1" in text and "12°" in text
    assert "<td>−10°</td>" in text
    assert "1.61 s" in text  # the rows add up as they are shown
    assert "&lt;b&gt;near" in text
    assert text.count('type="range"') == 2 and "srcdoc=" in text and "connect-src 'none'" in text
    outside = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert "http://" not in outside and "https://" not in outside


@pytest.mark.parametrize("told, number", [("-0°", "0°"), ("-10°", "−10°"), ("3°", "3°"), ("0.42", "0.42"), ("-0.42", "−0.42")])
def test_a_number_of_the_report_has_a_minus_sign_and_a_zero_has_none(told, number):
    from studiolike.avatar.report import _number

    assert _number(told) == number


@pytest.mark.parametrize("guided, borrow, colours", [(1, 1, {"guessed", "lent"}), (0, 1, {"guessed"})])
def test_the_report_page_marks_in_colour_whose_detail_it_is_and_explains_only_those_colours(
    guided, borrow, colours, tmp_path, skin
):
    visibility = torch.ones(1, 256, 256)
    visibility[..., 128:] = 0
    sources = origin(visibility[None], guided, borrow)[0]
    made = record(visibility, sources, {"guided": bool(guided)}, "open")
    text = avatar.write_report(tmp_path / "r.html", skin, visibility, skin, sources, made).read_text("utf-8")
    assert set(re.findall(r'class="key (\w+)"', text)) == colours and sentence(made) in text
    views = re.findall(r'type="radio" name="show" id="show-(\w+)"', text)
    assert len(views) == 3
    for view in views:  # one picture of the head and one of the texture, shown and hidden by styles alone
        assert text.count(f'<img class="{view}"') == 2 and f"#show-{view}:checked) img:not(.{view})" in text


def test_colours_lie_where_nothing_was_seen_and_nowhere_else(skin):
    visibility = torch.ones(1, 1, 256, 256)
    visibility[..., 128:] = 0
    sources = origin(visibility)[0]
    marked = marked_origin(skin, sources)
    changed = (marked != skin).any(0)
    assert not changed[:, :128].any() and changed[:, 128:].all()
    orange, blue = sources[1] > 0.99, sources[2] > 0.99
    assert orange.any() and blue.any()
    redder, bluer = (marked[0] - marked[2]), (marked[2] - marked[0])
    assert (redder[orange] > 0.2).all() and (bluer[blue] > 0.1).float().mean() > 0.9


def test_an_avatar_and_its_page_tell_what_the_texture_s_file_tells(tmp_path, skin):
    visibility = torch.ones(1, 256, 256)
    visibility[..., 128:] = 0
    sources = origin(visibility[None])[0]
    made = record(visibility, sources, {"guided": True}, "open")
    write_marked(skin, tmp_path / "me.png", made)
    files.export_avatar(View(tmp_path / "me.png", tmp_path / "me.glb", normals=False))
    data = (tmp_path / "me.glb").read_bytes()
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    assert document["asset"]["extras"] == {RECORD: made}
    assert f'<p id="note">{html.escape(f"{sentence(made)} {BASE}")}</p>' in (tmp_path / "me.html").read_text("utf-8")
    io.write_image(skin, tmp_path / "plain.png")
    files.export_avatar(View(tmp_path / "plain.png", tmp_path / "plain.glb", normals=False))
    assert RECORD.encode() + b'":{' not in (tmp_path / "plain.glb").read_bytes()
    assert f'<p id="note">{html.escape(BASE)}</p>' in (tmp_path / "plain.html").read_text("utf-8")


def test_the_head_has_the_shape_that_the_texture_s_file_tells_unless_it_is_refused(tmp_path, skin):
    shape = layout.face_vertices() * torch.tensor([1.1, 1.0, 1.0])
    write_marked(skin, tmp_path / "me.png", None, shape)
    files.export_avatar(View(tmp_path / "me.png", tmp_path / "own.glb", normals=False))
    files.export_avatar(View(tmp_path / "me.png", tmp_path / "base.glb", normals=False, own_head=False))
    width = {name: avatar.read_glb(tmp_path / f"{name}.glb")[0].vertices[:, 0].abs().max() for name in ("own", "base")}
    assert width["own"] > 1.03 * width["base"] and width["base"] == avatar.head_mesh().vertices[:, 0].abs().max()
    pages = {name: (tmp_path / f"{name}.html").read_text("utf-8") for name in width}
    assert html.escape(OWN) in pages["own"] and html.escape(BASE) in pages["base"]
    sources = origin(torch.ones(1, 1, 256, 256))[0]
    made, seen = record(torch.ones(1, 256, 256), sources, {"guided": True}, "open"), torch.ones(1, 256, 256)
    told = [
        avatar.write_report(tmp_path / "r.html", skin, seen, skin, sources, made, shape=s).read_text("utf-8")
        for s in (shape, None)
    ]
    assert html.escape(OWN) in told[0] and html.escape(BASE) in told[1]


def test_on_a_phone_the_report_s_head_shows_all_its_controls_and_the_last_line_of_its_help(tmp_path, skin):
    playwright = pytest.importorskip("playwright.sync_api", reason="no driver of a browser here")
    if not (chromium := find_chromium()):
        pytest.skip("no Chromium here")
    seen = torch.ones(1, 256, 256)
    sources = origin(seen[None], True, True)[0]
    made = record(seen, sources, {"guided": True}, "open")
    path = avatar.write_report(tmp_path / "r.html", skin, seen, skin, sources, made)
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox", *ARGUMENTS])
        for width, height in ((390, 844), (360, 640), (844, 390)):
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(path.as_uri())
            inner = page.frame_locator("iframe")
            inner.locator("#controls").wait_for()
            inner.get_by_label("one lamp").check()  # the lamp has controls of its own
            frame = page.frames[1]
            frame.locator("html").evaluate("(page) => { page.style.fontSize = '17px'; }")  # of a phone with larger letters
            whole, shown = frame.evaluate("[document.documentElement.scrollHeight, window.innerHeight]")
            if width < 640:
                assert whole <= shown, (width, whole, shown)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        browser.close()
