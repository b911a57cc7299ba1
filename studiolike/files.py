"""What the command line does with files: photos to textures, textures to studio textures, studio textures to avatars."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm.auto import tqdm

from . import io
from .device import find_device
from .errors import InputError, OutputError
from .image import resize
from .io import PICTURES, READABLE, check_output, check_size, visibility_path

if TYPE_CHECKING:
    from .cli import Convert


def capture_files(
    photos: tuple[Path, ...],
    out: Path,
    size: int,
    landmarks: Path | None = None,
    save_landmarks: Path | None = None,
    report: Path | None = None,
) -> dict:
    """Unwrap photos of one person, or a video, into ``out`` and its visibility map; returns the quality facts.

    Of several photos, those that cannot be used are left out and named in ``quality["left_out"]``. ``report`` is a
    contact sheet of all that was looked at; it is written also when nothing could be used.

    Raises:
        CaptureError, InputError, OutputError, MissingExtra: see `studiolike.capture`.
    """
    from . import capture
    from .capture.contact import ENDINGS, ContactSheet

    check_output(out, PICTURES)
    check_size(size, low=32)
    if report:
        check_output(report, ENDINGS)
    stored = capture.load_landmarks(landmarks) if landmarks else None
    videos = [path for path in photos if capture.is_video(path)]
    if videos and len(photos) > 1:
        raise InputError(f"{videos[0]} is a video: give one video alone, or only photos")
    if videos and (stored is not None or save_landmarks):
        raise InputError("landmarks are stored for a photo, not for a video: leave out --landmarks and --save-landmarks")
    if save_landmarks and len(photos) > 1:
        raise InputError("--save-landmarks stores those of one photo: give one photo")
    sheet = ContactSheet()
    try:
        if videos:
            result = capture.capture_video(videos[0], size, sheet=sheet)
        else:
            given = None if stored is None else [stored] * len(photos)
            result = capture.capture_photos(photos, size, given, sheet=sheet)
    finally:
        if report and len(sheet):
            sheet.write(report)
    if save_landmarks:
        capture.save_landmarks(result.landmarks, save_landmarks, io.read_image(photos[0]))
    io.write_image(result.texture[0], out)
    io.write_image(result.visibility[0], visibility_path(out))
    return result.quality


def read_input(path: Path, kind: str, visibility: Path | None, size: int) -> tuple[Tensor, Tensor | None, dict]:
    """A texture ``(1, 3, N, N)`` and visibility ``(1, 1, N, N)`` or None from a texture file, a photo or a video.

    With ``kind="auto"`` a file is a texture if a visibility map lies beside it or if it resembles the mean face of
    the layout; everything else is unwrapped as a photo. What is transparent in a texture is unseen.
    """
    from .capture import capture_photo, capture_video, is_video

    if is_video(path):
        result = capture_video(path, max(size, 256))
        return result.texture, result.visibility, {"kind": "video", **result.quality}
    beside = visibility or visibility_path(path)
    if kind == "auto":
        kind = "texture" if beside.is_file() or _resembles_texture(path) else "photo"
    if kind == "texture":
        if visibility and not visibility.is_file():
            raise InputError(f"no such file: {visibility}")
        texture, opacity = io.read_layers(path)
        side = min(max(_power_of_two(texture.shape[-1]), 64), 2048)
        if side != texture.shape[-1]:
            texture, opacity = io.read_layers(path, side)
        seen = io.read_visibility(beside, texture.shape[-1]).clamp(0, 1) if beside.is_file() else None
        if opacity is not None:
            seen = opacity if seen is None else seen * opacity
        return texture[None], None if seen is None else seen[None], {"kind": "texture"}
    result = capture_photo(io.read_image(path), max(size, 256))
    return result.texture, result.visibility, {"kind": "photo", **result.quality}


def _power_of_two(n: int) -> int:
    return 1 << (n.bit_length() - 1)


def _resembles_texture(path: Path) -> bool:
    from .weights import studio_mean

    picture = io.read_image(path)
    if picture.shape[0] != picture.shape[1] or picture.shape[0] < 32:
        return False

    def signature(texture: Tensor) -> Tensor:
        low = resize(texture, 16)
        return (low - low.mean((2, 3), keepdim=True)).flatten()

    mine = signature(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255)
    return torch.cosine_similarity(mine, signature(studio_mean()), dim=0).item() > 0.6


def convert_path(command: Convert) -> list[dict]:
    """Run the chain on a file or on every picture of a folder, write the results, return one report per picture."""
    source, out = command.input, command.out
    check_size(command.size)
    if command.detail_steps < 1:
        raise InputError("--detail-steps must be at least 1")
    if not source.exists():
        raise InputError(f"no such file: {source}")
    if source.is_dir():
        inputs = sorted(p for p in source.iterdir() if p.suffix.lower() in READABLE and ".visibility" not in p.name)
        if not inputs:
            raise InputError(f"no pictures in {source}")
        if out.exists() and not out.is_dir():
            raise OutputError(f"{out} is a file; name a folder, as the input is one")
        outputs = [out / f"{p.stem}.png" for p in inputs]
    else:
        inputs, outputs = [source], [out]
    for target in outputs:
        check_output(target, PICTURES)
    loaded = [read_input(path, command.kind, command.visibility, command.size) for path in inputs]
    pipe = _pipeline(command)
    reports = []
    for path, target, (texture, visibility, facts) in tqdm(
        list(zip(inputs, outputs, loaded, strict=True)), desc="convert", unit="face", disable=command.quiet or len(inputs) < 2
    ):
        reports.append(_convert_one(pipe, command, path, target, texture, visibility, facts))
    return reports


def _pipeline(command: Convert):
    from .pipeline import StudioPipeline

    return StudioPipeline.chosen(command.weights, find_device(command.device))


def _convert_one(
    pipe, command: Convert, path: Path, target: Path, texture: Tensor, visibility: Tensor | None, facts: dict
) -> dict:
    started = time.perf_counter()
    result = pipe(
        texture,
        visibility,
        resolution=command.size,
        steps=command.detail_steps,
        guided=command.guided,
        seed=command.seed,
        progress=not command.quiet and not command.json,
    )
    io.write_image(result.texture[0].cpu(), target)
    report = {"input": str(path), "out": str(target), **facts}
    if command.json:
        from .evaluation.report import measure

        truth = io.read_texture(command.truth, command.size)[None] if command.truth else None
        report["metrics"] = {
            "inversion_psnr_observed": round(float(result.psnr_observed[0]), 2),
            **measure(texture, visibility, result.texture.cpu(), truth),
        }
    report["seconds"] = {
        name: round(value, 3) for name, value in {**result.seconds, "conversion": time.perf_counter() - started}.items()
    }
    return report


def export_avatar(texture: Path, out: Path, compare: Path | None = None) -> list[Path]:
    """Write a GLB with ``texture`` on the head and an HTML page that turns it; returns the two paths."""
    from .avatar import head_mesh, write_glb, write_viewer

    check_output(out, {".glb"})
    images = {texture.stem: io.read_texture(texture)}
    if compare:
        images[compare.stem if compare.stem != texture.stem else f"{compare.stem} (compared)"] = io.read_texture(compare)
    mesh = head_mesh()
    page = out.with_suffix(".html")
    write_glb(mesh, images[texture.stem], out)
    write_viewer(mesh, page, images, title=out.stem)
    return [out, page]
