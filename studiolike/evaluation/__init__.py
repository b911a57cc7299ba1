"""How good is it? Metrics with masks, simple rivals, and the tables that compare methods on unseen subjects."""

from .baselines import BASELINES, StudioReference, bound, colour_transfer, mean_studio, nothing, quotient
from .bootstrap import Estimate, clustered_mean
from .colour import colour_error, delta_e, tone_gap
from .evaluate import REGIONS, evaluate, region
from .faceid import faceid
from .kid import KID, PooledFeatures, kid
from .lighting import asymmetry, low_band_error, shading_energy, variance_over_lights, variance_ratio
from .perceptual import perceptual, perceptual_judge
from .psnr import gain_fitted, psnr
from .quality import chain_quality, quality_lines
from .ssim import ssim, ssim_map
from .table import EvaluationTable, higher_is_better
from .trend import trend
from .verdict import Verdict, over_people, verdict, verdicts

__all__ = [
    "BASELINES",
    "KID",
    "REGIONS",
    "Estimate",
    "EvaluationTable",
    "PooledFeatures",
    "StudioReference",
    "Verdict",
    "asymmetry",
    "bound",
    "chain_quality",
    "clustered_mean",
    "colour_error",
    "colour_transfer",
    "delta_e",
    "evaluate",
    "faceid",
    "gain_fitted",
    "higher_is_better",
    "kid",
    "low_band_error",
    "mean_studio",
    "nothing",
    "over_people",
    "perceptual",
    "perceptual_judge",
    "psnr",
    "quality_lines",
    "quotient",
    "region",
    "shading_energy",
    "ssim",
    "ssim_map",
    "tone_gap",
    "trend",
    "variance_over_lights",
    "variance_ratio",
    "verdict",
    "verdicts",
]
