"""The machine a computation runs on: which device, how it is called, how much memory it took."""

from __future__ import annotations

import ctypes
import platform
import re
import sys

import torch

from .errors import InputError

KNOWN = re.compile(r"cpu|cuda(:\d{1,3})?|mps(:0)?", re.ASCII)


def find_device(name: torch.device | str | None = None) -> torch.device:
    """The device called ``name``: "cpu", "cuda", "cuda:1" …, "mps"; None is the GPU where there is one, else the CPU.

    torch knows more kinds of devices; on none of them has anything of this package ever run.

    Raises:
        InputError: another kind of device, or none of that name here. Nothing falls back to the CPU in silence.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not KNOWN.fullmatch(str(name)):
        raise InputError(f"unknown device '{name}'; use cpu, cuda, cuda:1 … or mps")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        there = f"{count}, numbered from 0" if count else "none"
        raise InputError(f"no device '{name}': of NVIDIA's graphics cards (CUDA) torch finds {there}; try  --device cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"no device '{name}' on this machine; try  --device cpu")
    return device


def device_name(device: torch.device | str) -> str:
    """Readable name of a device, with the thread count on a CPU."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads" if device.type == "cpu" else device.type


def peak_gib(device: torch.device | str) -> float:
    """Peak memory so far in GiB: of the GPU if that is the device, else of this process."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    import resource  # not on Windows, where nobody asked yet

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def keep_memory() -> bool:
    """Let the C library keep what a training step frees for the next one; whether it agreed (glibc does).

    It would return large blocks to the system and get them back as empty pages, thousands of page faults a step: an eighth
    of the time of a StyleGAN2 step on two cores. The process then stays as large as it once was.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    no_maps, never_trim = (-4, 0), (-1, 2**31 - 1)  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h
    return all(ctypes.CDLL(None).mallopt(*option) for option in (no_maps, never_trim))
