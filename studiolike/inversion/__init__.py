"""Stage 2: from a phone texture to a code in the W+ space of G_phone.

The paper parameterises every phone texture by one w vector per layer of the generator and reports
"near-perfect reconstruction"; how it finds the codes is not known to us, so the optimiser, the distance and
the prior here are our choices. In: phone textures with visibility. Out: w+ codes, alone (`invert`) or as a
dataset (`CodeBank`).
"""

from .bank import BankSample, CodeBank, build_bank
from .curvature import Curvature
from .distance import distance_of, observed_psnr, pyramid_distance, resize_observed
from .encoder_training import EncoderStage
from .optimise import Inversion, frozen, invert
from .prior import WPrior

__all__ = [
    "BankSample",
    "CodeBank",
    "Curvature",
    "EncoderStage",
    "Inversion",
    "WPrior",
    "build_bank",
    "distance_of",
    "frozen",
    "invert",
    "observed_psnr",
    "pyramid_distance",
    "resize_observed",
]
