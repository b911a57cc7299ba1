"""Begin a larger network as a smaller one, enlarged.

Progressive growing (Karras et al., ICLR 2018) with the skip architecture of Karras et al., CVPR 2020: a new block of the
generator adds a picture to the up-sampled one, so it begins by adding nothing; a new block of the discriminator or the
encoder begins as the filter that halves the picture. Nothing is faded in; what was learnt is there from the first image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..errors import InputError
from .bands import channels_of_bands
from .discriminator import Discriminator, DiscriminatorBlock
from .encoder import Encoder
from .generator import Generator


@torch.no_grad()
def grow(model: nn.Module, small: nn.Module) -> None:
    """Put the weights of ``small`` into ``model``, of the same kind and channels but twice or more the resolution.

    The generator then gives ``small``'s pictures, enlarged; the discriminator's and the encoder's answers to an enlarged
    picture are nearly those of ``small`` (their first layer now acts before the picture is halved, not after).

    Raises:
        InputError: another kind of network, or channels that do not agree.
    """
    if type(model) is not type(small) or not isinstance(model, Generator | Discriminator | Encoder):
        raise InputError(f"cannot grow a {type(small).__name__} into a {type(model).__name__}")
    if model.config.resolution <= small.config.resolution:
        raise InputError(f"cannot grow from {small.config.resolution}² to {model.config.resolution}²")
    weights = small.state_dict()
    if isinstance(model, Generator):
        for size, block in model.blocks.items():
            if int(size) > small.config.resolution:
                block.to_rgb.weight.zero_()
    else:
        new = len(model.blocks) - len(small.blocks)
        for block in list(model.blocks.values() if isinstance(model, Discriminator) else model.blocks)[:new]:
            _halve_only(block)
        weights["from_rgb.weight"] = _more_bands(weights["from_rgb.weight"], small.config.resolution, model.config.resolution)
    if isinstance(model, Encoder):
        weights = _later_blocks(weights, new)
        weights |= {
            f"{head}.{kind}": _more_rows(weights[f"{head}.{kind}"], small.num_ws, model.num_ws)
            for head in ("rows", "correction")
            for kind in ("weight", "bias")
        }
    try:
        missing, unknown = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise InputError(f"the smaller network has other channels: {str(error).splitlines()[-1].strip()}") from error
    if unknown:
        raise InputError(f"the larger network has no {unknown[0]}")


def _halve_only(block: DiscriminatorBlock) -> None:
    inputs, outputs = block.conv1.weight.shape[1], block.conv1.weight.shape[0]
    if inputs != outputs:
        raise InputError(f"a new block has {inputs} channels before and {outputs} after; growing needs as many")
    block.conv1.weight.zero_()
    block.skip.weight.copy_(torch.eye(inputs)[..., None, None] / block.skip.weight_gain)


def _more_bands(weight: Tensor, before: int, after: int) -> Tensor:
    """The first layer reads the new octaves as zero; an old one is now so many places further from the finest."""
    inputs, old, new = weight.shape[1], channels_of_bands(before), channels_of_bands(after)
    zeros = weight.new_zeros(len(weight), new - old, 1, 1)
    wider = torch.cat([weight[:, : inputs - old], zeros, weight[:, inputs - old :]], 1)
    return wider * math.sqrt(wider.shape[1] / inputs)  # the equalised gain is 1/√inputs


def _later_blocks(weights: dict[str, Tensor], new: int) -> dict[str, Tensor]:
    """The encoder numbers its blocks from the picture; the smaller one's first block is a later one here."""
    renamed = {}
    for name, value in weights.items():
        parts = name.split(".")
        if parts[0] == "blocks":
            parts[1] = str(int(parts[1]) + new)
        renamed[".".join(parts)] = value
    return renamed


def _more_rows(head: Tensor, before: int, after: int) -> Tensor:
    """The head's last row of w+ again for every new one: it drove the finest toRGB, which they now follow."""
    rows = head.unflatten(0, (before, -1))
    last = rows[-1:].expand(after - before, *rows.shape[1:])
    return torch.cat([rows, last]).flatten(0, 1)
