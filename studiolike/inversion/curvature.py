"""How strongly a picture answers to its code: what makes a few steps of inversion as good as hundreds.

Along some directions of W a picture changes completely, along others hardly at all; the second derivatives of the loss
differ by many orders of magnitude. Gradient descent, Adam too, crawls along such a canyon. What the canyon looks like
depends far less on the face than on the generator, so it can be measured once: the Gauss-Newton matrix E[JᵀJ] of the
squared difference of pictures, J = ∂G(w+)/∂w+, by random probes y of unit variance (E[Jᵀy (Jᵀy)ᵀ | J] = JᵀJ), row by row
of w+ as if rows did not interact (Martens and Grosse, *K-FAC*, ICML 2015).

J does differ from face to face, so where the mean matrix is flat a single face may be steep. Shampoo (Gupta, Koren and
Singer, ICML 2018) takes the square root of such a matrix; we take a power between that and the matrix itself, scaled so
that the largest eigenvalue stays: never below the mean matrix, and gentler the less it is to be trusted.
"""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from .prior import WPrior

BATCH = 16  # codes of one forward pass
PROBES_PER_CODE = 8
POWER = 0.65  # of the mean matrix; from 0.5 to 1 the descent from an encoder's codes gains, the one from other codes loses
SPREAD = 0.5  # standard deviation, in those of W, by which the rows of a probed code differ


class Curvature(ModelMixin, ConfigMixin):
    """A bound on the second derivatives, with respect to each row of w+, of the mean squared difference of two pictures.

    It has buffers and no parameters; it is a network only in how it is stored, released and loaded.

    Args:
        num_ws, w_dim: rows L and length D of w+.
    Attributes:
        root: ``(L, D, D)``, F with F Fᵀ the matrix of a row; stored this way half precision cannot make it indefinite.
    """

    @register_to_config
    def __init__(self, num_ws: int = 12, w_dim: int = 128):
        super().__init__()
        self.register_buffer("root", torch.zeros(num_ws, w_dim, w_dim))

    @property
    def matrix(self) -> Tensor:
        """``(L, D, D)``, symmetric and positive semidefinite."""
        root = self.root.float()
        return root @ root.transpose(1, 2)

    @classmethod
    def of(cls, generator: nn.Module, probes: int = 256, rng: torch.Generator | None = None) -> Curvature:
        """Measure a generator's curvature, with ``probes`` backward passes in batches.

        Args:
            probes: at least 2·D make every row's matrix well determined.
            rng: a CPU generator; None means seed 0.
        """
        rng = rng or torch.Generator().manual_seed(0)
        prior, device = WPrior.from_generator(generator), generator.w_mean.device
        rows, width = generator.num_ws, len(prior.mean)
        products = torch.zeros(rows, width, width, dtype=torch.float64, device=device)
        count = 0
        with torch.inference_mode(False), torch.enable_grad():
            while count < probes:
                z = torch.randn(BATCH, width, generator=rng, dtype=torch.float32).to(device)
                apart = SPREAD * torch.randn(BATCH, rows, width, generator=rng, dtype=torch.float32).to(prior.mean)
                u = (prior.whiten(generator.mapping(z).detach().float())[:, None] + apart).requires_grad_()
                image = generator.synthesis(prior.unwhiten(u), noise="const").float()
                for _ in range(PROBES_PER_CODE):
                    y = torch.randn(image.shape, generator=rng, dtype=torch.float32).to(image)
                    (slope,) = torch.autograd.grad((image * y).sum(), u, retain_graph=True)
                    products += torch.einsum("bld,ble->lde", slope.double(), slope.double())
                    count += BATCH
        products *= 2 / (count * image[0].numel())  # d²/dw² of a *mean* of squares
        values, axes = torch.linalg.eigh(products)
        steepest = values.max()
        factor = (axes * (steepest * (values.clamp_min(0) / steepest) ** POWER).sqrt()[:, None]) @ axes.transpose(1, 2)
        model = cls(rows, width).to(device)
        # from standard deviations along the prior's axes to plain w: u = (w − mean) · basis / scale
        model.root.copy_((prior.basis / prior.scale).double() @ factor)
        return model.eval()
