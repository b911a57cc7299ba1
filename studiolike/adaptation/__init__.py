"""Stage 3: few-shot fine-tuning of G_phone into G_studio, the core of the paper.

In: G_phone, D_phone, the code bank, a few studio textures, fewer pairs. Out: G_studio, which turns the w+
code of a phone texture into the same person's uniformly lit, complete texture.
"""

from .captures import EncodedCaptures, EncodedPairs, disturb
from .losses import (
    AdaptLoss,
    StudioDistance,
    detail_loss,
    identity_loss,
    invariance_loss,
    low_light_loss,
    other_light_loss,
    pair_loss,
    perceptual_loss,
)
from .sampling import CODES, CodeSampler
from .train import AdaptStage, train_studio

__all__ = [
    "CODES",
    "AdaptLoss",
    "AdaptStage",
    "EncodedCaptures",
    "EncodedPairs",
    "CodeSampler",
    "StudioDistance",
    "detail_loss",
    "disturb",
    "identity_loss",
    "invariance_loss",
    "low_light_loss",
    "other_light_loss",
    "pair_loss",
    "perceptual_loss",
    "train_studio",
]
