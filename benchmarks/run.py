"""Speed and memory of every stage on this machine: ``make bench``.

Each row is measured several times in its own order, after a warm-up; the table gives the median and the spread. Peak
memory is that of the whole process so far (or of the GPU), so it only grows from row to row; rows that are measured in
a process of their own (curve, folder, reading, peer) say what they add to it.

    python benchmarks/run.py --only training inversion --resolutions 64 128 --out bench.json
    python benchmarks/run.py --only curve && python benchmarks/plot.py
    python benchmarks/run.py --only inversion-quality
    python benchmarks/run.py --only folder
    python benchmarks/run.py --peer PATH    # a checkout of stylegan2-ada-pytorch
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from curve import BATCHES, RESOLUTIONS, curve_rows
from engines import RandomSet
from folder import folder_row
from inversion_quality import quality_rows
from peer import peer_rows
from reading import reading_row

from studiolike.config import DetailConfig, GeneratorConfig, InversionConfig, PretrainConfig, Profile, profile
from studiolike.device import device_name, peak_gib
from studiolike.image import resize
from studiolike.run_record import commit, package_hash

Row = tuple[str, str, Callable[[], int]]  # name, unit, work that returns how many units it did
Measured = dict  # a row that measured itself: name, unit, median, min, max, peak_gib and what else it knows


def synth_rows(device: str, resolutions: list[int]) -> Iterator[Row | Measured]:
    """Phone captures a second, geometry and skin of the subject included once for every four lightings; and reading."""
    from studiolike.synth import phone_capture, studio_texture, synthesise_subjects

    for resolution in (64, 128, 256, 512):

        def captures(resolution: int = resolution) -> int:
            subjects = synthesise_subjects(torch.arange(4), resolution, device)
            for k in range(4):
                phone_capture(subjects, torch.arange(4) + 10 * k)
            return 16

        def pairs(resolution: int = resolution) -> int:
            subjects = synthesise_subjects(torch.arange(4), resolution, device)
            studio_texture(subjects)
            phone_capture(subjects, torch.arange(4))
            return 4

        if resolution < 512:
            yield f"synthetic phone captures, {resolution}²", "captures/s", captures
        yield f"synthetic studio/phone pairs, {resolution}²", "pairs/s", pairs
    yield reading_row()


def training_rows(device: str, resolutions: list[int]) -> Iterator[Row]:
    """One training image = generator step + discriminator step + R1/16, as in training."""
    from studiolike.stylegan2 import GameStage, phone_networks
    from studiolike.training import fit

    for resolution in resolutions:
        settings = replace(
            profile("cpu").sized(GeneratorConfig(resolution=resolution), 2 * resolution),
            pretrain=PretrainConfig(batch=8, warm_up=0),
        )

        def work(settings: Profile = settings) -> int:
            stage = GameStage(settings.pretrain, phone_networks(settings), RandomSet(settings.generator.resolution))
            images = settings.pretrain.batch * settings.pretrain.r1_every
            with tempfile.TemporaryDirectory() as folder:
                fit(
                    stage,
                    images,
                    folder,
                    device=device,
                    progress=False,
                    preview_every=10**9,
                    checkpoint_every=10**9,
                )
            return images

        yield f"G_phone training, {resolution}²", "images/s", work


def inversion_rows(device: str, resolutions: list[int]) -> Iterator[Row]:
    """Optimisation steps × images a second, by batch."""
    from studiolike.inversion import invert
    from studiolike.stylegan2 import Discriminator, Generator

    for resolution in resolutions:
        generator = Generator(resolution).to(device).eval()
        critic = Discriminator(resolution).to(device).eval()
        for batch in (1, 16):

            def work(g: torch.nn.Module = generator, d: torch.nn.Module = critic, n: int = batch, r: int = resolution) -> int:
                texture = torch.rand(n, 3, r, r, device=device)
                invert(g, texture, torch.ones_like(texture[:, :1]), InversionConfig(steps=10), feature_net=d)
                return 10 * n

            yield f"inversion, {resolution}², batch {batch}", "steps·images/s", work


def detail_rows(device: str, resolutions: list[int]) -> Iterator[Row]:
    """Whole samples a second at the default number of steps."""
    from studiolike import weights
    from studiolike.detail import detail

    model, size = weights.load("detailer", device=device), weights.read_config("g_studio")["resolution"]
    for resolution in (256, 512):

        def work(r: int = resolution) -> int:
            n = size
            low, phone = torch.rand(1, 3, n, n, device=device), torch.rand(1, 3, r, r, device=device)
            detail(model, low, phone, torch.ones_like(phone[:, :1]), steps=DetailConfig.sample_steps)
            return 1

        yield f"detailing, {resolution}², {DetailConfig.sample_steps} steps", "textures/s", work


def convert_rows(device: str, resolutions: list[int]) -> Iterator[Row]:
    """The whole command in a fresh process, start-up included."""

    def work() -> int:
        from studiolike import io, weights

        with tempfile.TemporaryDirectory() as folder:
            phone = Path(folder) / "phone.png"
            io.write_image(resize(weights.studio_mean(), 256)[0], phone)
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "studiolike.cli",
                    "convert",
                    str(phone),
                    "--kind",
                    "texture",
                    "--quiet",
                    "-o",
                    str(Path(folder) / "studio.png"),
                ],
                check=True,
            )
        return 1

    yield "studiolike convert, start-up included", "runs/s", work


GROUPS = {
    "synth": synth_rows,
    "training": training_rows,
    "inversion": inversion_rows,
    "detail": detail_rows,
    "convert": convert_rows,
}
LONG = ("curve", "folder", "inversion-quality")  # measured when they are asked for


def timed_row(row: Row, repeats: int, device: str) -> Measured:
    """Run the work once to warm up and ``repeats`` times by the clock."""
    name, unit, work = row
    speeds = []
    for k in range(repeats + 1):
        started = time.perf_counter()
        done = work()
        if device == "cuda":
            torch.cuda.synchronize()
        if k:  # the first is the warm-up
            speeds.append(done / (time.perf_counter() - started))
    return {
        "name": name,
        "unit": unit,
        "median": statistics.median(speeds),
        "min": min(speeds),
        "max": max(speeds),
        "peak_gib": round(peak_gib(device), 3),
    }


def chosen_rows(options: argparse.Namespace, device: str) -> Iterator[Row | Measured]:
    """The rows that the command line asks for, in order."""
    asked = options.resolutions
    groups = list(GROUPS) if options.only is None and not options.peer else options.only or []
    for group in groups:
        if group == "curve":
            yield from curve_rows(tuple(asked or RESOLUTIONS), tuple(options.batches), options.precision, options.repeats)
        elif group == "folder":
            yield folder_row()
        elif group == "inversion-quality":
            yield from quality_rows(device, options.count, options.few, options.many)
        else:
            yield from GROUPS[group](device, asked or [32, 64])
    if options.peer:
        yield from peer_rows(options.peer, device, tuple(asked or (64, 128)), repeats=options.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        nargs="*",
        choices=(*GROUPS, *LONG),
        help=f"default: all but the long ones, {', '.join(LONG)}; with --peer nothing else",
    )
    parser.add_argument("--peer", type=Path, metavar="PATH", help="compare training with this checkout of stylegan2-ada-pytorch")
    parser.add_argument("--resolutions", nargs="*", type=int, help="default: 32 64; curve: 32 to 256; peer: 64 128")
    parser.add_argument("--batches", nargs="*", type=int, default=list(BATCHES), help="of the curve")
    parser.add_argument("--precision", default="no", choices=("no", "bf16", "fp16"), help="of the curve")
    parser.add_argument("--count", type=int, default=64, help="textures of inversion-quality")
    parser.add_argument("--few", type=int, default=10, help="its steps from the encoder's codes")
    parser.add_argument("--many", type=int, default=400, help="its steps from the mean w")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("_build/bench.json"))
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    facts = {
        "device": device_name(device),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "commit": commit(),
        "studiolike": package_hash(),
    }
    print(" · ".join(str(v) for v in facts.values() if v))
    print(f"{'':46s} {'median':>9s} {'min':>9s} {'max':>9s}  unit             peak GiB")
    rows = []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for item in chosen_rows(options, device):
        row = item if isinstance(item, dict) else timed_row(item, options.repeats, device)
        row.setdefault("peak_gib", round(peak_gib(device), 3))
        rows.append(row)
        numbers = " ".join(f"{row[key]:9.3g}" for key in ("median", "min", "max"))
        print(f"{row['name']:46s} {numbers}  {row['unit']:16s} {row['peak_gib']:.2f}  {row.get('note', '')}".rstrip(), flush=True)
        options.out.write_text(json.dumps({"facts": facts, "rows": rows}, indent=2) + "\n")  # a stopped run keeps its rows
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
