"""Everything the page "Try it" needs besides its text and scripts: networks as ONNX, faces, a reference, the head.

    python book/tools/page_model.py FOLDER        # for authors; book/tools/build.py does it for the book

In: the released weights. Out, in FOLDER: ``manifest.json``, three synthetic faces of the validation split and NASA's portrait
of an astronaut as textures with visibility and heads, the result that PyTorch computes for the first of them (the page compares
its own with it), a still picture for browsers without scripts, the page of the head, and, where ``npm`` has installed it
(``make book`` does), onnxruntime-web with the networks. Without it the manifest says so, and the page says it to the reader.
"""

from __future__ import annotations

import hashlib
import io as bytes_io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import before_after
import onnx_export
import studiolike
from execute import package_hash
from project import BUILD, ROOT
from studiolike import avatar, capture, io, layout, outline, weights
from studiolike.avatar.shape import LOWER_LIP, UPPER_LIP
from studiolike.chain import RESOLUTION
from studiolike.chapters import figures
from studiolike.detail import complete, counted
from studiolike.pipeline import StudioPipeline

RUNTIME = ROOT / "book" / "web" / "node_modules" / "onnxruntime-web" / "dist"
# loader and program for every browser, and a second pair that can also use a GPU
RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
NAMES = ("Lightest skin", "Middle", "Darkest skin", "Astronaut")
DETECTOR_SIDES = (128, 256)
TRUE = "The head has the synthetic person's true shape, which the phone did not measure; ears and neck are an average."
COORDINATES = 256  # texels of the maps of the base head that go to the browser; they are smooth, so it interpolates


def faces() -> dict[str, before_after.Row]:
    """Phone textures ``(3, N, N)`` with visibility and head by name; N = `RESOLUTION`, no network saw them in training."""
    people = before_after.synthetic_rows(before_after.by_tone(before_after.candidates()), RESOLUTION)
    return dict(zip(NAMES, [*people, before_after.photograph(RESOLUTION)], strict=True))


def rounded(picture: Tensor) -> Tensor:
    """What a picture holds after it was written with 8 bits."""
    return (picture.clamp(0, 1) * 255).round() / 255


def write_geometry(path: Path) -> None:
    """What unwrapping a photo and making its head need, as one file of little-endian numbers: see ``layout.js``, which reads it.

    float32: 468 × 3 vertices in cm, 468 × 2 places in the layout, 468 × 9 as `avatar.shape.closing` gives them, 21 distances of
    the base head's outline in cm, 3 × `COORDINATES`² position map, as many cm by which an avatar's differs, `COORDINATES`² cm
    that the outline may move it by; then uint16: 9 × 2 points of the upper and the lower lip, triangles; then uint8 from 0 to
    255, 2 × `COORDINATES`²: all above the brows, and ears and neck.
    """
    numbers = [layout.face_vertices(), layout.landmark_uv(), avatar.shape.closing(), outline.base()]
    numbers += [layout.position_map(COORDINATES), avatar.anatomy.change(COORDINATES), outline.room(COORDINATES)]
    whole = [np.column_stack([UPPER_LIP, LOWER_LIP]), layout.face_triangles().numpy()]
    crown, ears, neck = (layout.region_mask(name, COORDINATES) for name in ("crown", "ears", "neck"))
    parts = [part.numpy().astype("<f4") for part in numbers] + [part.astype("<u2") for part in whole]
    parts.append((torch.cat([crown, (ears + neck).clamp(0, 1)]) * 255).round().byte().numpy())
    with io.atomic(path) as temporary:
        temporary.write_bytes(b"".join(part.tobytes() for part in parts))


def write_head(mesh: avatar.HeadMesh, path: Path) -> None:
    """The vertices of a head, cm, float32: the page hands them to its head, which has the same triangles."""
    with io.atomic(path) as temporary:
        temporary.write_bytes(mesh.vertices.numpy().astype("<f4").tobytes())


def write_photo(folder: Path) -> None:
    """The astronaut's portrait, and landmarks, texture, visibility and head that the package finds, for the second self-test."""
    from skimage.data import astronaut

    photo = astronaut()
    Image.fromarray(photo).save(folder / "photo.png")
    points = capture.landmarks(photo)
    (folder / "photo.json").write_text(json.dumps({"points": np.round(points, 2).tolist()}, separators=(",", ":")))
    shot = capture.capture_photo(photo, RESOLUTION, points)
    write_capture(shot.texture[0], shot.visibility[0], folder / "photo-texture.png", folder / "photo-seen.png")
    write_head(avatar.own_head(shot.shape), folder / "photo-head.bin")


def write_capture(texture: Tensor, seen: Tensor, path: Path, beside: Path) -> None:
    """A texture ``(3, N, N)`` and its visibility ``(1, N, N)`` as two pictures."""
    io.write_image(texture, path)
    io.write_image(seen.expand(3, -1, -1), beside)


def write_pictures(folder: Path, pipe: StudioPipeline) -> list[dict[str, str]]:
    """Faces, reference, still picture and the page of the head; returns the faces as the manifest lists them."""
    listed, rows = [], []
    for number, (name, row) in enumerate(faces().items()):
        texture, seen = rounded(row.phone), rounded(row.seen)
        files = {"texture": f"face{number}.png", "visibility": f"face{number}-seen.png", "head": f"face{number}-head.bin"}
        write_capture(texture, seen, folder / files["texture"], folder / files["visibility"])
        own = pipe(texture, seen, borrow=False, keep_tone=True).texture
        sight = counted(seen[None])  # the page takes everybody for real
        result = complete(own, sight, weights.exemplars())[0]
        if number == 0:  # the page's model has smaller exemplars than the package
            io.write_image(complete(own, sight, onnx_export.lent())[0], folder / "reference.png")
        write_head(row.mesh, folder / files["head"])
        listed.append({"name": name, **files, "told": avatar.shape.OWN if row.truth is None else TRUE})
        rows.append((row.mesh, texture, result))
    grid = [[*skins, *(avatar.render(mesh, skin, yaw=24, size=384) for skin in skins)] for mesh, *skins in rows]
    columns = ("phone texture", "result", "head: phone", "head: result")
    picture = figures.png_bytes(figures.texture_grid(grid, [entry["name"] for entry in listed], columns, tile=1.7))
    with Image.open(bytes_io.BytesIO(picture)) as image:
        image.convert("RGB").save(folder / "still.jpg", quality=88, optimize=True)
    skins = dict(zip(("result", "phone"), reversed(rows[0][1:]), strict=True))
    words = {"title": "The head", "description": "The head with the result, seen from the front"}
    avatar.write_viewer(avatar.head_mesh(grid=128), folder / "head.html", skins, **words)
    return listed


def write(folder: Path, runtime: Path = RUNTIME) -> bool:
    """Write everything into ``folder``; returns whether the model is among it."""
    pipe = StudioPipeline.released()
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"faces": write_pictures(folder, pipe), "reference": "reference.png", "resolution": RESOLUTION, "model": None}
    manifest |= {"own": avatar.shape.OWN, "base": avatar.shape.BASE, "version": studiolike.__version__}
    if all((runtime / name).is_file() for name in RUNTIME_FILES):
        for name in RUNTIME_FILES:
            shutil.copy(runtime / name, folder)
        onnx_export.write_chain(folder / "chain.onnx", pipe)
        onnx_export.write_face_mesh(folder / "face_mesh.onnx")
        onnx_export.write_person_mask(folder / "person_mask.onnx")
        for side in DETECTOR_SIDES:
            onnx_export.write_face_detector(folder / f"face_detector{side}.onnx", side)
        write_geometry(folder / "geometry.bin")
        write_photo(folder)
        manifest["model"] = {name: (folder / name).stat().st_size for name in ("chain.onnx", "ort-wasm-simd-threaded.wasm")}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest["model"] is not None


def install(folder: Path) -> bool:
    """`write` into ``folder``, from the last build if package, tools and runtime are the same."""
    state = [package_hash(), str((RUNTIME / RUNTIME_FILES[0]).is_file())]
    state += [path.read_text() for path in (Path(__file__), Path(onnx_export.__file__), Path(before_after.__file__))]
    state += [(ROOT / "book" / "web" / "package-lock.json").read_text()]
    kept = BUILD / "model" / hashlib.sha256("\0".join(state).encode()).hexdigest()[:16]
    if not (kept / "manifest.json").exists():
        print("exporting the networks for the page with the model", flush=True)
        shutil.rmtree(kept.parent, ignore_errors=True)
        write(kept)
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    return json.loads((folder / "manifest.json").read_text())["model"] is not None


if __name__ == "__main__":
    print("with the model" if write(Path(sys.argv[1])) else "without the model: onnxruntime-web is not installed")
