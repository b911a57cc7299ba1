"""Stage 4: the phone's gradients on the generator's light in closed form, then a diffusion model that repairs the rest."""

from .exemplars import complete, origin
from .fusion import counted, fuse
from .guidance import gradients, impose_gradients, screened_poisson
from .model import Detailer, make_scheduler
from .sample import detail
from .train import DetailStage

__all__ = [
    "DetailStage",
    "Detailer",
    "complete",
    "counted",
    "detail",
    "fuse",
    "gradients",
    "impose_gradients",
    "make_scheduler",
    "origin",
    "screened_poisson",
]
