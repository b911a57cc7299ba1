"""Stage 4: diffusion detailing, guided by the log gradients of the phone texture."""

from .guidance import gradients, impose_gradients, screened_poisson
from .model import Detailer, make_scheduler
from .sample import colour_shift, detail
from .train import DetailStage

__all__ = [
    "DetailStage",
    "Detailer",
    "colour_shift",
    "detail",
    "gradients",
    "impose_gradients",
    "make_scheduler",
    "screened_poisson",
]
