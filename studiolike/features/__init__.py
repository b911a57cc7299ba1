"""Which face is this, and how alike do two look: the networks behind L_faceID, L_percp and the evaluation."""

from .network import SHAPES, IdentityNet
from .perceptual import PerceptualDistance, PretrainedLPIPS, lpips_pretrained, lpips_where_present
from .train import Captures, CosineMargin, IdentityStage, train_identity
from .verification import Verification, roc, verification

__all__ = [
    "SHAPES",
    "Captures",
    "CosineMargin",
    "IdentityNet",
    "IdentityStage",
    "PerceptualDistance",
    "PretrainedLPIPS",
    "Verification",
    "lpips_pretrained",
    "lpips_where_present",
    "roc",
    "train_identity",
    "verification",
]
