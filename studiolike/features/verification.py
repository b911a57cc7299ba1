"""Are these two captures of one person? The usual way to grade an identity network.

All pairs of captures are scored by the cosine of their embeddings: genuine pairs (same subject) and impostor
pairs. From the scores follow the ROC curve, its area, the equal error rate (Phillips et al., *The FERET
evaluation methodology*, PAMI 2000), and the accuracy at a threshold that was chosen on *other* subjects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Verification:
    """Scores of one set of captures.

    Attributes:
        auc: area under the ROC curve, 0.5 is chance.
        eer: equal error rate, where as many impostors pass as genuine pairs fail.
        accuracy: mean of the genuine and the impostor rate of success at ``threshold``.
        threshold: cosine from which a pair counts as genuine.
        genuine, impostor: mean cosine of either kind of pair.
        pairs: number of genuine and of impostor pairs.
    """

    auc: float
    eer: float
    accuracy: float
    threshold: float
    genuine: float
    impostor: float
    pairs: tuple[int, int]


def pair_scores(embeddings: Tensor, subject: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of all pairs of unit embeddings ``(N, E)``: genuine ``(G,)`` and impostor ``(I,)`` by ``subject
    (N,)``."""
    first, second = torch.triu_indices(len(embeddings), len(embeddings), 1)
    cosine = (embeddings @ embeddings.T)[first, second]
    same = subject[first] == subject[second]
    return cosine[same], cosine[~same]


def roc(genuine: Tensor, impostor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """ROC curve: false accepts, true accepts (both ``(K,)``, rising from 0 to 1) and their thresholds
    (falling)."""
    from torchmetrics.functional.classification import binary_roc

    scores = torch.cat([genuine, impostor])
    labels = torch.cat([torch.ones_like(genuine), torch.zeros_like(impostor)]).int()
    # torchmetrics takes scores outside [0, 1] for logits and would squash them
    false_accept, true_accept, thresholds = binary_roc((scores + 1) / 2, labels)
    thresholds = thresholds * 2 - 1
    thresholds[0] = torch.inf  # nobody is accepted
    return false_accept.double(), true_accept.double(), thresholds


def verification(embeddings: Tensor, subject: Tensor, threshold: float | None = None) -> Verification:
    """Grade embeddings ``(N, E)`` of captures of ``subject (N,)``.

    Without ``threshold`` the best one of this very set is used; hand in the one found on other subjects for
    an honest accuracy. Needs at least one genuine and one impostor pair.
    """
    genuine, impostor = pair_scores(embeddings.double().cpu(), subject.cpu())
    false_accept, true_accept, thresholds = roc(genuine, impostor)
    area = torch.trapezoid(true_accept, false_accept)
    balanced = (true_accept + 1 - false_accept) / 2
    crossing = (false_accept - (1 - true_accept)).abs().argmin()
    if threshold is None:
        # midway to the next score, so that the threshold also fits unseen pairs
        best = int(balanced.argmax())
        neighbour = thresholds[min(best + 1, len(thresholds) - 1)]
        threshold = float((thresholds[best] + neighbour) / 2) if torch.isfinite(thresholds[best]) else 1.0
    accuracy = ((genuine >= threshold).double().mean() + (impostor < threshold).double().mean()) / 2
    return Verification(
        auc=float(area),
        eer=float((false_accept[crossing] + 1 - true_accept[crossing]) / 2),
        accuracy=float(accuracy),
        threshold=threshold,
        genuine=float(genuine.mean()),
        impostor=float(impostor.mean()),
        pairs=(len(genuine), len(impostor)),
    )
