"""The model in the page: exported networks compute what PyTorch computes, and the page's own unwrapping what ours does."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch

import onnx_export
import page_model
from project import ROOT
from studiolike import avatar, capture, io, layout, outline, weights
from studiolike.avatar.shape import LOWER_LIP, UPPER_LIP
from studiolike.capture.pose import to_view
from studiolike.detail import Detailer, complete, counted, make_scheduler
from studiolike.detail.fusion import COUNTED
from studiolike.detail.lips import line_of
from studiolike.pipeline import StudioPipeline
from studiolike.record import read_shape, write_marked
from studiolike.stylegan2 import Encoder, Generator
from studiolike.tone import ToneNet

SCRIPTS = ROOT / "book" / "_static" / "try-it"


@pytest.fixture(scope="module")
def pipe():
    """A tiny chain whose weights half precision holds exactly, as it does those of the released one."""
    torch.manual_seed(0)
    sizes = {"resolution": 32, "w_dim": 64, "channel_base": 512, "channel_max": 64}
    g_phone, g_studio = Generator(**sizes, mapping_layers=1), Generator(**sizes, mapping_layers=1)
    networks = [g_phone, Encoder(**sizes, hidden=64), g_studio, Detailer(channels=(8, 16), groups=4), ToneNet()]
    *chain, tone = (net.half().float().eval() for net in networks)
    return StudioPipeline(*chain, make_scheduler(), tone=tone)


def run(path, **feeds):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {name: tensor.numpy() for name, tensor in feeds.items()})


def test_the_exported_chain_gives_what_the_pipeline_gives_and_is_stored_in_half_precision(pipe, tmp_path):
    onnx_export.write_chain(tmp_path / "chain.onnx", pipe, size=64)
    rng = torch.Generator().manual_seed(1)
    texture, visibility = torch.rand(1, 3, 64, 64, generator=rng), (5 * torch.rand(1, 1, 64, 64, generator=rng)).round() / 5
    expected = pipe(texture, visibility, resolution=64, borrow=False, keep_tone=True)
    wanted = complete(expected.texture, counted(visibility), onnx_export.lent())
    studio, low = run(tmp_path / "chain.onnx", texture=texture, visibility=visibility)
    assert np.abs(low - expected.studio_lr.numpy()).max() < 1e-4
    assert np.abs(studio - wanted.numpy()).max() < 1e-4
    weights = sum(p.numel() for net in (pipe.g_phone, pipe.g_studio, pipe.encoder, pipe.tone) for p in net.parameters())
    line = line_of(onnx_export.lent(), 64).numel() * 4
    networks = (tmp_path / "chain.onnx").stat().st_size - onnx_export.lent().numel() - line  # exemplars: a byte each
    assert networks < 3.2 * weights  # a bit over 2 bytes each, and what the blurs are made of; 4 bytes each if they were not


def test_the_page_marks_as_invented_what_the_chain_counts_as_unseen():
    assert f"const COUNTED = {COUNTED};" in (SCRIPTS / "try-it.js").read_text()


def test_weights_that_half_precision_would_change_stay_as_they_are(tmp_path):
    matrix = torch.rand(64, 64, generator=torch.Generator().manual_seed(0)) + 1e-5
    onnx_export.write(lambda x: (x @ matrix,), (torch.rand(2, 64),), (("x",), ("y",)), tmp_path / "f.onnx")
    x = torch.rand(2, 64)
    assert np.abs(run(tmp_path / "f.onnx", x=x)[0] - (x @ matrix).numpy()).max() < 1e-5


def test_the_exported_landmark_networks_give_what_ours_give(tmp_path):
    onnx_export.write_face_mesh(tmp_path / "mesh.onnx")
    onnx_export.write_face_detector(tmp_path / "detector.onnx", 128)
    crop = torch.rand(1, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    picture = crop[..., :128, :128] * 2 - 1
    with torch.no_grad():
        ours = [*capture.detection.mesh()(crop), *capture.detection.detector()(picture)]
    theirs = run(tmp_path / "mesh.onnx", crop=crop) + run(tmp_path / "detector.onnx", picture=picture)
    for a, b in zip(theirs, ours, strict=True):
        assert np.abs(a - b.numpy()).max() < 1e-2  # pixels, or a logit


def test_the_exported_person_mask_gives_what_ours_gives_and_is_small(tmp_path):
    from skimage.data import astronaut

    onnx_export.write_person_mask(tmp_path / "person.onnx")
    picture = torch.from_numpy(astronaut()[:512:2, :512:2]).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        ours = capture.person.network()(picture).numpy()
    (theirs,) = run(tmp_path / "person.onnx", picture=picture)
    assert np.abs(theirs - ours).max() < 1e-3 and ours.min() < 0.1 and ours.max() > 0.9
    assert (tmp_path / "person.onnx").stat().st_size < 400_000


def test_without_the_runtime_pictures_are_there_and_the_manifest_says_that_there_is_no_model(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(StudioPipeline, "released", classmethod(lambda cls: pipe))
    monkeypatch.setattr(page_model, "write_pictures", lambda folder, pipe: [{"name": "a"}])
    assert page_model.write(tmp_path, runtime=tmp_path / "nothing") is False
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["model"] is None and manifest["faces"] == [{"name": "a"}]
    assert not list(tmp_path.glob("*.onnx"))


@pytest.mark.parametrize("folder, kind", [("book/web", "dependencies"), ("tests/node", "devDependencies")])
def test_the_locks_of_packages_for_node_and_pages_name_hashes_and_no_address(folder, kind):
    wanted = json.loads((ROOT / folder / "package.json").read_text())[kind]
    locked = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all("resolved" not in entry and entry["integrity"] for name, entry in locked.items() if name)


def test_the_notice_names_the_runtime_of_the_page():
    wanted = json.loads((ROOT / "book/web/package.json").read_text())["dependencies"]
    assert wanted["onnxruntime-web"] in (ROOT / "NOTICE").read_text()


UNWRAP = """
import fs from "node:fs";
const { unwrap } = await import(process.argv[2] + "/photo.js");
const { readGeometry } = await import(process.argv[2] + "/layout.js");
const { findPerson } = await import(process.argv[2] + "/person.js");
const { Picture } = await import(process.argv[2] + "/landmarks.js");
const folder = process.argv[3], { width, height, size, points } = JSON.parse(fs.readFileSync(folder + "/job.json"));
const bytes = new Uint8Array(fs.readFileSync(folder + "/photo.raw"));
const geometry = readGeometry(new Uint8Array(fs.readFileSync(folder + "/geometry.bin")).buffer);
const picture = new Picture(width, height, bytes), network = {
  run: async (_, feeds) => {
    fs.writeFileSync(folder + "/square.raw", feeds.picture[0]);
    return { probability: new Float32Array(new Uint8Array(fs.readFileSync(folder + "/probability.raw")).buffer) };
  },
};
const face = unwrap(picture, points, await findPerson(network, picture, points), size, geometry);
fs.writeFileSync(folder + "/texture.raw", face.texture);
fs.writeFileSync(folder + "/visibility.raw", face.visibility);
fs.writeFileSync(folder + "/outward.json", JSON.stringify(face.outward));
"""


def run_script(script, folder):
    """Run a module of ours with the page's own beside it."""
    if shutil.which("node") is None:
        pytest.skip("needs Node, which runs the page's own scripts")
    (folder / "job.mjs").write_text(script)
    (folder / "scripts").mkdir()
    for page in SCRIPTS.glob("*.js"):  # Node takes a file for a module by its folder's package.json
        shutil.copy(page, folder / "scripts")
    (folder / "scripts" / "package.json").write_text('{"type": "module"}')
    page_model.write_geometry(folder / "geometry.bin")
    subprocess.run(["node", folder / "job.mjs", (folder / "scripts").as_uri(), str(folder)], check=True, timeout=120)


@pytest.mark.parametrize(("scale", "closed"), [(1, False), (4, False), (1, True)])
def test_the_page_unwraps_a_photo_as_the_package_does(tmp_path, scale, closed):
    from PIL import Image
    from skimage.data import astronaut

    size, stored = 256, capture.astronaut_landmarks()
    photo = Image.fromarray(astronaut()).resize((512 * scale, 512 * scale), Image.Resampling.BICUBIC)
    points, photo = stored.points * scale, np.asarray(photo)
    if closed:  # and a picture that ends at the lower lip
        points[LOWER_LIP] = points[UPPER_LIP]
        photo = photo[: int(points[17, 1])]
    job = {"width": photo.shape[1], "height": photo.shape[0], "size": size, "points": points.tolist()}
    (tmp_path / "job.json").write_text(json.dumps(job))
    (tmp_path / "photo.raw").write_bytes(np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)]).tobytes())
    person = capture.person.PersonMap.of(photo, points).probability
    (tmp_path / "probability.raw").write_bytes(person.numpy().tobytes())
    run_script(UNWRAP, tmp_path)

    square = torch.from_numpy(np.fromfile(tmp_path / "square.raw", "<f4")).view(1, 3, 256, 256)
    with torch.no_grad():  # what the page shows the network says to it what ours does
        assert (capture.person.network()(square) - person).abs().mean() < 0.002
    texture = np.fromfile(tmp_path / "texture.raw", "<f4").reshape(3, size, size)
    visibility = np.fromfile(tmp_path / "visibility.raw", "<f4").reshape(size, size)
    ours = capture.capture_photo(photo, size, points)
    outward = np.array(json.loads((tmp_path / "outward.json").read_text()))
    assert np.abs(outward - ours.outward.numpy()).max() < 0.001 and outward.max() > 1  # cm
    wanted = ours.visibility[0, 0].numpy()
    assert np.abs(visibility - wanted).mean() < 0.0005
    lips = layout.region_mask("lips", size)[0].numpy() > 0
    assert np.abs(visibility - wanted)[lips].mean() < (0.036 if closed else 0.018) and (wanted[lips] > 0.3).any()
    seen, hair = wanted > 0.25, layout.region_mask("scalp", size)[0].numpy() * layout.region_mask("crown", size)[0].numpy() > 0.5
    apart = np.abs(texture - ours.texture[0].numpy()).mean(0)
    for part in (seen & hair, seen & ~hair):
        assert part.mean() > 0.1 and apart[part].mean() < 0.002
    assert apart.mean() < 0.002  # also where it is filled


SHAPE = """
import fs from "node:fs";
const { readGeometry } = await import(process.argv[2] + "/layout.js");
const { headShape, headVertices } = await import(process.argv[2] + "/shape.js");
const { readShape, withShape } = await import(process.argv[2] + "/record.js");
const folder = process.argv[3], file = (name) => new Uint8Array(fs.readFileSync(`${folder}/${name}`));
const geometry = readGeometry(file("geometry.bin").buffer), png = file("plain.png");
if (readShape(png, geometry) !== null) throw new Error("a shape where there is none");
const write = (name, numbers) => fs.writeFileSync(`${folder}/${name}.raw`, Float32Array.from(numbers));
for (const name of ["head", "face"]) write(name, readShape(file(`${name}.png`), geometry).flat());
JSON.parse(fs.readFileSync(folder + "/job.json")).forEach(({ points, outward }, k) => {
  const shape = headShape(points, outward, geometry);
  write(`shape${k}`, shape.flat());
  write(`head${k}`, headVertices(shape, geometry));
  if (k === 0) fs.writeFileSync(`${folder}/marked.png`, withShape(png, shape, "1", geometry));
});
"""


def test_the_page_gives_a_photos_head_the_shape_that_the_package_gives_it_and_files_carry_it_both_ways(tmp_path):
    rng = np.random.default_rng(0)
    astronaut = capture.astronaut_landmarks().points
    turned = to_view(capture.fit_pose(astronaut).apply(layout.face_vertices().numpy() + rng.normal(0, 0.2, (468, 3))))
    opened = astronaut.copy()
    opened[LOWER_LIP] += (2, 15, 0)
    hair = 2 * outline.ANGLES.cos().clamp_min(0) + outline.ANGLES.sin()  # high, and not the same on both sides
    jobs = [(astronaut, hair), (turned, None), (opened, -hair / 2)]
    told = [{"points": points.tolist(), "outward": None if out is None else out.tolist()} for points, out in jobs]
    (tmp_path / "job.json").write_text(json.dumps(told))
    texture, shapes = torch.rand(3, 8, 8), [capture.head_shape([points], [out]) for points, out in jobs]
    assert [len(shape) for shape in shapes] == [489, 468, 489]
    for name, shape in (("head", shapes[2]), ("face", shapes[1])):
        write_marked(texture, tmp_path / f"{name}.png", None, shape)
    io.write_image(texture, tmp_path / "plain.png")
    run_script(SHAPE, tmp_path)
    for name, shape in (("head", shapes[2]), ("face", shapes[1])):
        assert np.abs(np.fromfile(tmp_path / f"{name}.raw", "<f4").reshape(-1, 3) - shape.numpy()).max() < 0.0051  # cm
    carried = read_shape(tmp_path / "marked.png")
    assert carried is not None and (carried - shapes[0]).abs().max() < 0.0051
    assert np.array_equal(io.read_image(tmp_path / "marked.png"), io.read_image(tmp_path / "plain.png"))
    base = avatar.head_mesh().vertices.numpy()
    for k, shape in enumerate(shapes):
        assert np.abs(np.fromfile(tmp_path / f"shape{k}.raw", "<f4").reshape(-1, 3) - shape.numpy()).max() < 1e-3
        ours, found = avatar.own_head(shape).vertices.numpy(), np.fromfile(tmp_path / f"head{k}.raw", "<f4").reshape(-1, 3)
        assert np.abs(found - ours).max() < 0.001  # cm
        assert np.abs(ours - base).max() > 0.1


OPENED = """
import fs from "node:fs";
const { unwrap } = await import(process.argv[2] + "/photo.js");
const { readGeometry } = await import(process.argv[2] + "/layout.js");
const { Picture } = await import(process.argv[2] + "/landmarks.js");
const folder = process.argv[3], { width, height, points } = JSON.parse(fs.readFileSync(folder + "/job.json"));
const geometry = readGeometry(new Uint8Array(fs.readFileSync(folder + "/geometry.bin")).buffer);
const picture = new Picture(width, height, new Uint8Array(fs.readFileSync(folder + "/photo.raw")));
const warnings = points.map((places) => unwrap(picture, places, () => 1, 64, geometry).warnings);
fs.writeFileSync(folder + "/warnings.json", JSON.stringify(warnings));
"""


def test_the_page_says_of_an_open_mouth_what_the_package_says(tmp_path):
    from skimage.data import astronaut

    closed = capture.astronaut_landmarks().points.copy()
    closed[LOWER_LIP] = closed[UPPER_LIP] + (0, 0.5, 0)
    opened = closed.copy()
    opened[LOWER_LIP] += (0, 15, 0)
    photo = astronaut()
    (tmp_path / "job.json").write_text(json.dumps({"width": 512, "height": 512, "points": [closed.tolist(), opened.tolist()]}))
    (tmp_path / "photo.raw").write_bytes(np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)]).tobytes())
    run_script(OPENED, tmp_path)
    ours = [capture.capture_photo(photo, 64, points).quality["warnings"] for points in (closed, opened)]
    ours = [[said for said in warnings if "mouth" in said] for warnings in ours]
    assert ours[0] == [] and len(ours[1]) == 1
    theirs = json.loads((tmp_path / "warnings.json").read_text())
    assert theirs == [[f"{said[0].upper()}{said[1:]}." for said in warnings] for warnings in ours]


PLACED = """
import fs from "node:fs";
const { inLayout } = await import(process.argv[2] + "/photo.js");
const { readGeometry } = await import(process.argv[2] + "/layout.js");
const folder = process.argv[3], job = JSON.parse(fs.readFileSync(folder + "/job.json"));
const geometry = readGeometry(new Uint8Array(fs.readFileSync(folder + "/geometry.bin")).buffer);
const found = job.map(({ width, height, points }) => inLayout({ picture: { width, height }, points }, geometry));
fs.writeFileSync(folder + "/found.json", JSON.stringify(found));
"""


def test_the_page_tells_a_texture_from_a_photo_by_where_the_face_is(tmp_path):
    from skimage.data import astronaut

    photo = astronaut()
    shot, mean = capture.capture_photo(photo, 256, capture.astronaut_landmarks()), weights.studio_mean()[0]
    textures = [shot.texture[0], shot.texture[0] * (shot.visibility[0] > 0.3), mean]  # the second has black holes
    pictures = [(texture.permute(1, 2, 0) * 255).round().byte().numpy() for texture in textures]
    close = [photo[30:170, 150:290], photo[:220, 114:334]]  # square pictures of the face alone
    given = [(picture.shape, capture.landmarks(picture)) for picture in [*pictures, photo, *close]]
    given.append(((256, 512), given[0][1] * (2, 1, 1)))  # where it should be, but this is no texture's form
    job = [{"width": shape[1], "height": shape[0], "points": points.tolist()} for shape, points in given]
    (tmp_path / "job.json").write_text(json.dumps(job))
    run_script(PLACED, tmp_path)
    assert json.loads((tmp_path / "found.json").read_text()) == [True] * 3 + [False] * 4


def test_the_page_has_the_bounds_of_the_package():
    photo, finding = (SCRIPTS / "photo.js").read_text(), (SCRIPTS / "landmarks.js").read_text()
    assert f"OPEN_MOUTH = {capture.quality.OPEN_MOUTH:g};" in photo and f"SURE = {capture.detection.SURE:g};" in finding
