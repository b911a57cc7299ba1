"""`studiolike doctor`: what is installed, which device and profile fit, what to do about what is missing."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path

from .errors import MissingExtra, StudioError, WeightsError, install_command, optional
from .json_files import parse_json
from .protocols import PROTOCOLS

CORE = ("torch", "diffusers", "accelerate", "safetensors", "numpy", "scipy", "scikit-image", "torchmetrics")
EXTRAS = {  # extra → (distribution, module, what for)
    "book": (
        ("jupyter-book", "jupyter_book", "the book"),
        ("papermill", "papermill", "running chapters"),
        ("lpips", "lpips", "LPIPS with pretrained trunks"),
        ("matplotlib", "matplotlib", "figures"),
        ("ipywidgets", "ipywidgets", "sliders that compute"),
    ),
    "capture": (("av", "av", "video; photos need no extra"), ("pi-heif", "pi_heif", "HEIC photos")),
    "dev": (("pytest", "pytest", "the tests"), ("nbval", "nbval", "notebook tests")),
}
LOADED = ("capture",)  # light enough to be imported here: only then is a library seen that is there but broken


def memory_gb() -> float:
    """Physical memory in GiB, 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return 0.0


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _trouble(module: str, extra: str) -> str:
    """What is wrong with an optional library, empty if nothing is."""
    if extra in LOADED:
        try:
            optional(module, extra)
        except MissingExtra as error:
            return error.trouble
        return ""
    return "" if util.find_spec(module) else "is missing"


def _cuda_driver() -> bool:
    """Whether this machine has a CUDA driver: found out without torch, which takes seconds to import."""
    try:
        ctypes.CDLL("nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _device() -> tuple[str, str]:
    """What computes, in words, and the profile that fits it."""
    if _cuda_driver():
        import torch

        if torch.cuda.is_available():
            free, total = torch.cuda.mem_get_info()
            return f"{torch.cuda.get_device_name()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free", "gpu"
        return "CPU (there is a CUDA driver, but this torch finds no device: see pytorch.org for one that fits)", "cpu"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"CPU, {cores} cores (no CUDA driver found)", "cpu"


def report() -> str:
    """The whole report as text."""
    from . import __version__, weights

    device, fitting = _device()
    lines = [f"studiolike {__version__} · Python {platform.python_version()} · {platform.system()} {platform.machine()}"]
    lines.append(f"device   {device}")
    lines.append(f"memory   {memory_gb():.1f} GiB · free disk {shutil.disk_usage('.').free / 2**30:.0f} GiB")
    lines.append(f"profile  {fitting} fits this machine (choose with --profile or PROFILE=)")
    lines.append("core     " + " · ".join(f"{name} {_version(name) or 'MISSING'}" for name in CORE))
    if not all(map(_version, CORE)):
        lines.append(f"         what is missing comes with  {install_command()}")
    for extra, packages in EXTRAS.items():
        troubles = [(f"{name} ({use})", _trouble(module, extra)) for name, module, use in packages]
        told = ", ".join(f"{name} {trouble}" for name, trouble in troubles if trouble)
        state = f"{told}: {install_command(extra)}" if told else "complete"
        lines.append(f"{extra:8s} {state}")
    for name in weights.NETWORKS | weights.FOREIGN:
        for protocol in PROTOCOLS if name in weights.PER_PROTOCOL else ("open",):
            folder = weights.folder_of(name, protocol)
            label = f"{protocol}/{name}" if name in weights.PER_PROTOCOL else name
            lines.append(_weights_line(label, folder / weights.FILE, lambda path: weights.verify(path.parent)))
    for name in ("bank.safetensors", "pairs.safetensors", weights.EXEMPLARS, weights.STUDIO_MEAN):
        path = weights.weights_dir() / name
        if name == weights.EXEMPLARS and not path.is_file():
            path = weights.PACKAGED / name
        lines.append(_weights_line(name, path, _whole))
    return "\n".join(lines)


def _weights_line(name: str, path: Path, verify: Callable[[Path], None]) -> str:
    """One file of the released weights: its size, or what is wrong with it."""
    try:
        if not path.is_file():
            raise WeightsError("missing: run  make weights  or reinstall the package")
        verify(path)
        return f"weights  {name:20s} {path.stat().st_size / 2**20:5.1f} MB ok"
    except StudioError as error:
        return f"weights  {name:20s} {error}"


def _whole(path: Path) -> None:
    """Raise `WeightsError` for a file that is not all there, by what its format says of its length; nothing is decoded."""
    content = path.read_bytes()
    try:
        if path.suffix == ".safetensors":
            start = 8 + int.from_bytes(content[:8], "little")
            tensors = parse_json(content[8:start])
            ends = [part["data_offsets"][1] for name, part in tensors.items() if name != "__metadata__"]
            whole = len(content) == start + max(ends)
        elif path.suffix == ".webp":
            whole = content[:4] == b"RIFF" and len(content) == 8 + int.from_bytes(content[4:8], "little")
        else:
            whole = content[1:4] == b"PNG" and content[-8:-4] == b"IEND"
    except (ValueError, KeyError, TypeError, AttributeError):  # no header where it should be
        whole = False
    if not whole:
        raise WeightsError(f"{path} is damaged: reinstall the package")
