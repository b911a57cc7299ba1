"""Stage 3: few-shot fine-tuning of G_phone into G_studio, the core of the paper.

In: G_phone, D_phone, the code bank, a few studio textures, fewer pairs. Out: G_studio, which turns the w+
code of a phone texture into the same person's uniformly lit, complete texture.
"""

from .losses import (
    AdaptLoss,
    StudioDistance,
    adversarial_loss,
    colour_loss,
    detail_loss,
    discriminator_loss,
    identity_loss,
    pair_loss,
    perceptual_loss,
    r1_loss,
)
from .sampling import CODES, CodeSampler
from .train import AdaptStage, Pairs, few_shot_sets, train_studio

__all__ = [
    "CODES",
    "AdaptLoss",
    "AdaptStage",
    "CodeSampler",
    "Pairs",
    "StudioDistance",
    "adversarial_loss",
    "colour_loss",
    "detail_loss",
    "discriminator_loss",
    "few_shot_sets",
    "identity_loss",
    "pair_loss",
    "perceptual_loss",
    "r1_loss",
    "train_studio",
]
