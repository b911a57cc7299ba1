"""An avatar in three.js: what `studiolike view` writes opens there without a word, and looks as it does here."""

import base64
import io as bytes_io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from browse import ARGUMENTS, NOISE, find_chromium, serve
from studiolike import avatar, io, layout
from studiolike.avatar.render import FIELD_OF_VIEW, camera_distance
from studiolike.cli import main
from studiolike.image import resize
from studiolike.record import read_shape, write_marked
from studiolike.weights import studio_mean

THREE = Path(__file__).parent / "node" / "node_modules" / "three"
EDGE = 384  # pixels of a frame
GROUND = 0.95  # grey behind the head, as of `avatar.render`

PAGE = """<!doctype html><link rel="icon" href="data:,">
<script type="importmap">{ "imports": { "three": "./three/build/three.module.js" } }</script>
<script type="module">
import * as THREE from "three";
import { GLTFLoader } from "./three/examples/jsm/loaders/GLTFLoader.js";

const renderer = new THREE.WebGLRenderer({ antialias: true });

// the file, opened; what it holds, and how it looks from +z: once in light from everywhere, which shows the texture's own
// colours, and once as white plaster under a lamp from the subject's left, which shows the relief
window.open3 = async (name, view, fov, distance, ground) => {
  const { scene: head } = await new GLTFLoader().loadAsync(name);
  const box = new THREE.Box3().setFromObject(head, true), middle = box.getCenter(new THREE.Vector3());
  const meshes = [];
  head.traverse((part) => { if (part.isMesh) meshes.push(part); });
  const held = meshes.map(({ geometry, material }) => ({
    attributes: Object.keys(geometry.attributes), map: material.map?.colorSpace, normals: material.normalMap?.colorSpace,
  }));

  const scene = new THREE.Scene(), camera = new THREE.PerspectiveCamera(fov, 1, 0.1, 10);
  scene.background = new THREE.Color().setRGB(ground, ground, ground, THREE.SRGBColorSpace);
  camera.position.copy(middle).add(new THREE.Vector3(0, 0, distance));
  renderer.setSize(view, view);
  const frame = (light) => {
    scene.clear().add(head, light);
    renderer.render(scene, camera);
    return renderer.domElement.toDataURL("image/png");
  };
  const even = frame(new THREE.AmbientLight(0xffffff, Math.PI));
  const lamp = new THREE.DirectionalLight(0xffffff, 2);
  lamp.position.set(1, 0, 0.5);
  meshes.forEach(({ material }) => { material.map = null; material.needsUpdate = true; });
  const plaster = frame(lamp);
  meshes.forEach(({ material }) => material.normalScale?.set(0, 0));
  return { held, low: box.min.toArray(), high: box.max.toArray(), frames: [even, plaster, frame(lamp)] };
};
document.title = "ready";
</script>
"""


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no driver of a browser here")
    if not (chromium := find_chromium()):
        pytest.skip("no Chromium here")
    if not (THREE / "build").is_dir():
        pytest.skip("no three.js: make test installs it where npm is")
    with playwright.sync_playwright() as player:
        opened = player.chromium.launch(executable_path=chromium, args=["--no-sandbox", *ARGUMENTS])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    (folder / "index.html").write_text(PAGE)
    (folder / "three").symlink_to(THREE)
    return folder


def opened(browser, site, head):
    """What three.js makes of ``site / "head.glb"``: facts, and frames ``(3, H, W)`` in [0, 1]."""
    page, said = browser.new_page(), []
    page.on("console", lambda message: NOISE.search(message.text) or said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda asked: said.append(f"failed: {asked.url}"))
    with serve(site) as address:
        page.goto(f"{address}/index.html")
        page.wait_for_function("document.title === 'ready'")
        distance = camera_distance(head) / 100
        found = page.evaluate("(given) => open3('head.glb', ...given)", [EDGE, FIELD_OF_VIEW, distance, GROUND])
    page.close()
    assert not said  # nor a warning
    pictures = [Image.open(bytes_io.BytesIO(base64.b64decode(frame.split(",")[1]))) for frame in found.pop("frames")]
    return found, [torch.from_numpy(np.array(p.convert("RGB"))).permute(2, 0, 1) / 255 for p in pictures]


def wide_head():
    return layout.face_vertices() * torch.tensor([1.15, 1.0, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize("shape, relief", [(None, True), (wide_head(), False)], ids=["base head", "own head, smooth"])
def test_an_avatar_opens_in_three_js_without_a_word_and_looks_as_it_does_here(shape, relief, browser, site, tmp_path):
    texture = resize(studio_mean(), 512)[0] * torch.linspace(0.6, 1, 512)  # darker on one side: a mirrored face would show
    dot = torch.zeros(3, 512, 512)
    dot[:, 298:304, 318:324] = 1  # on the subject's left cheek; dark is deep, so it becomes a pit
    texture = texture * (1 - 0.4 * dot)
    write_marked(texture, tmp_path / "me.png", None, shape)
    options = [] if relief else ["--no-normals"]
    assert main(["view", str(tmp_path / "me.png"), "-o", str(site / "head.glb"), "--overwrite", *options]) == 0
    head = avatar.own_head(read_shape(tmp_path / "me.png"))
    facts, (even, plaster, smooth) = opened(browser, site, head)

    (mesh,) = facts["held"]
    assert set(mesh["attributes"]) == {"position", "normal", "uv", *(["tangent"] if relief else [])}
    assert mesh["map"] == "srgb" and mesh.get("normals") == ("" if relief else None)  # "": its numbers are no colours
    low, high = np.array(facts["low"]), np.array(facts["high"])
    assert np.allclose(low * 100, head.vertices.amin(0), atol=1e-3) and np.allclose(high * 100, head.vertices.amax(0), atol=1e-3)
    width, height, depth = high - low
    assert 0.12 < width < 0.25 and 0.2 < height < 0.4 and 0.15 < depth < 0.35 and height > width  # metres, y up

    # from +z the face is seen, upright and not mirrored, in the texture's own colours
    here = avatar.render(head, io.read_texture(tmp_path / "me.png"), size=EDGE, shading="unlit", background=GROUND)
    away = (even - here).abs()
    assert away.mean() < 0.01
    for turned in (here.flip(2), here.flip(1), avatar.render(head, texture, yaw=180, size=EDGE, shading="unlit")):
        assert (even - turned).abs().mean() > 2 * away.mean()
    middle = slice(EDGE * 3 // 8, EDGE * 5 // 8)
    assert (even[:, middle, middle].mean((1, 2)) - here[:, middle, middle].mean((1, 2))).abs().max() < 0.02

    if not relief:
        assert torch.equal(plaster, smooth)
        return
    # the pit's wall that looks to the lamp, at the right of the picture, is the left one
    place = avatar.render(head, dot, size=EDGE, shading="unlit", background=0.0)[0]
    row, column = (round(float((place.sum(k) * torch.arange(EDGE)).sum() / place.sum())) for k in (1, 0))
    lighter = (plaster - smooth)[0, row - 1 : row + 2]
    assert lighter[:, column - 4 : column].mean() > 0.01 and lighter[:, column + 1 : column + 5].mean() < -0.01
