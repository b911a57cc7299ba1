"""Train an identity network: which subject is this texture of, under whatever light?

In: a set of subjects under several lightings. Out: an `IdentityNet`. A classifier over the training subjects
with a cosine margin (CosFace: Wang et al., CVPR 2018, eq. 4) teaches the embedding; it is thrown away
afterwards. A subject's captures under several lights are one class, so that light is no part of identity; studio
textures are not needed, and not looked at.
Held-out subjects grade the result by verification, with the threshold chosen on subjects other than those it
is applied to.

The subjects used here must stay out of every test.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import IdentityConfig, Profile
from ..errors import InputError
from ..image import resize
from ..io import write_image
from ..training import Stage, fit
from .network import GRID, IdentityNet
from .variation import another_capture
from .verification import verification

WARM_UP = 0.05  # share of the run in which the learning rate rises
MARGIN_RAMP = 0.3  # share of the run in which the margin rises: a full margin at the start only makes noise


class CosineMargin(nn.Module):
    """CosFace's classifier: a unit prototype per subject, the true class's cosine lowered by a margin.

    Args:
        subjects: number of classes. embedding: length of the embeddings. scale: s of the paper.
    """

    def __init__(self, subjects: int, embedding: int, scale: float):
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(subjects, embedding) / embedding**0.5)
        self.scale = scale

    def forward(self, embeddings: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor]:
        """Loss (a scalar) and the cosines ``(B, subjects)`` of unit ``embeddings (B, E)`` with ``labels
        (B,)``."""
        cosine = F.linear(embeddings.float(), F.normalize(self.prototypes.float(), dim=1))
        lowered = cosine - margin * F.one_hot(labels, cosine.shape[1])  # cos θ_y − m
        return F.cross_entropy(self.scale * lowered, labels), cosine


class Captures:
    """All captures of some subjects, small and in memory (uint8), with their labels.

    Args:
        data: a `TextureSet`. subjects: rows of its studio textures ``(S,)``. resolution: side to keep.
        studio: also keep the subjects' studio textures, to compare with: to learn from them the protocol "few" forbids.
    """

    def __init__(self, data, subjects: Tensor, resolution: int, studio: bool = False):
        subjects = torch.as_tensor(subjects, dtype=torch.long).cpu()
        if len(subjects) < 2:
            raise InputError(f"identity needs at least 2 subjects to tell apart, got {len(subjects)}")
        owner = torch.as_tensor(data.subject, dtype=torch.long)
        place = torch.full((int(max(owner.max(), subjects.max())) + 1,), -1)
        place[subjects] = torch.arange(len(subjects))
        rows = (place[owner] >= 0).nonzero().flatten()
        textures, visibility = [], []
        for part in rows.split(64):
            texture, seen = data.phone_batch(part, "cpu")
            # weighted before it is made smaller, divided afterwards: holes do not bleed into their neighbours
            small = resize(seen, resolution)
            textures.append(_bytes(resize(texture * seen, resolution) / small.clamp_min(1e-4)))
            visibility.append(_bytes(small))
        for part in subjects.split(64) if studio else ():
            textures.append(_bytes(resize(data.studio_batch(part, "cpu"), resolution)))
            visibility.append(torch.full_like(textures[-1][:, :1], 255))
        self.textures, self.visibility = torch.cat(textures), torch.cat(visibility)
        self.labels = torch.cat([place[owner[rows]], torch.arange(len(subjects) if studio else 0)])
        self.studio = torch.arange(len(self.labels)) >= len(rows)
        self.subjects = len(subjects)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Tensor, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
        """Texture ``(B, 3, H, W)``, visibility ``(B, 1, H, W)``, both float in [0, 1], and labels
        ``(B,)``."""
        return (
            self.textures[index].to(device).float() / 255,
            self.visibility[index].to(device).float() / 255,
            self.labels[index].to(device),
        )


@torch.no_grad()
def embed_all(net: IdentityNet, captures: Captures, device: torch.device | str = "cpu") -> Tensor:
    """Unit embeddings ``(N, E)`` of all captures, without any variation, on the CPU."""
    parts = torch.arange(len(captures)).split(128)
    return torch.cat([net.embed(*captures.batch(k, device)[:2]).float().cpu() for k in parts])


@torch.no_grad()
def warm_start(net: IdentityNet, classifier: CosineMargin, captures: Captures, device: torch.device | str = "cpu") -> None:
    """Start where the data are: embeddings spread around zero, each prototype at its subject's mean
    embedding.

    Registered faces are so alike that a fresh network sends them all in one direction (cosines above .9);
    from there, or from random prototypes, training goes through a collapse that costs it thousands of images.
    Done once, before training, so that nothing depends on a batch later.
    """
    texture, visibility, _ = captures.batch(torch.linspace(0, len(captures) - 1, 256).long().unique(), device)
    last = net.features(texture, visibility)[-1]
    net.head.bias.copy_(-F.linear(F.adaptive_avg_pool2d(last, GRID).flatten(1), net.head.weight).mean(0))
    embeddings = embed_all(net, captures, device)
    total = torch.zeros(classifier.prototypes.shape).index_add_(0, captures.labels, embeddings)
    classifier.prototypes.copy_(F.normalize(total, dim=1))


def _bytes(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


class IdentityStage(Stage):
    """One training run of an `IdentityNet`, to be driven by `studiolike.training.fit`.

    Args:
        net: the network, changed in place.
        config: batch, images (they set the schedules), lr, margin, scale.
        train, val: captures of disjoint subjects; ``val=None`` skips the verification.
    """

    def __init__(
        self,
        net: IdentityNet,
        config: IdentityConfig,
        train: Captures,
        val: Captures | None = None,
    ):
        self.name, self.batch, self.config = net.config.role, config.batch, config
        self.train, self.val = train, val
        self.verify_every = max(config.images // 4, config.batch)  # images
        classifier = CosineMargin(train.subjects, net.config.embedding, config.scale)
        self.modules = {"net": net, "classifier": classifier}
        parameters = [*net.parameters(), *classifier.parameters()]
        self.optimizers = {"adam": torch.optim.AdamW(parameters, config.lr, weight_decay=0.02)}

    def schedule(self, images: int) -> tuple[float, float]:
        """Learning rate (linear warm-up, then a half cosine to 0) and margin (linear ramp) after
        ``images``."""
        t = min(images / self.config.images, 1.0)
        lr = self.config.lr * min((t + self.batch / self.config.images) / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * t))
        return lr, self.config.margin * min(t / MARGIN_RAMP, 1.0)

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        if images == 0:
            net, classifier = (self.accelerator.unwrap_model(m) for m in self.modules.values())
            warm_start(net, classifier, self.train, self.accelerator.device)
        lr, margin = self.schedule(images)
        optimizer = self.optimizers["adam"]
        for group in optimizer.param_groups:
            group["lr"] = lr
        share = max(self.batch // self.accelerator.num_processes, 1)
        index = torch.randint(len(self.train), (share,), generator=rng)
        texture, visibility, labels = self.train.batch(index, self.accelerator.device)
        texture, visibility = another_capture(texture, visibility, rng)
        loss, cosine = self.modules["classifier"](self.modules["net"](texture, visibility), labels, margin)
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        optimizer.step()
        scalars = {
            "loss": loss.item(),
            "accuracy": (cosine.argmax(1) == labels).float().mean().item(),
            "lr": lr,
        }
        if self.val is not None and (images + self.batch) // self.verify_every > images // self.verify_every:
            scalars.update(self.verify())
        return scalars

    def verify(self) -> dict[str, float]:
        """Verification on held-out subjects (``val_…``); a threshold from one half of them is applied to the
        other."""
        if self.val is None:
            return {}
        embeddings = self.embeddings(self.val)
        labels, half = self.val.labels, self.val.labels < self.val.subjects // 2
        overall = verification(embeddings, labels)
        scores = {
            "val_auc": overall.auc,
            "val_eer": overall.eer,
            "val_genuine": overall.genuine,
            "val_impostor": overall.impostor,
        }
        if self.val.subjects >= 4:
            threshold = verification(embeddings[half], labels[half]).threshold
            scores["val_accuracy"] = verification(embeddings[~half], labels[~half], threshold).accuracy
            scores["val_threshold"] = threshold
        # the pair that the evaluation compares: a capture and the studio texture of the same subject
        studio = embeddings[self.val.studio][labels[~self.val.studio]]
        scores["val_phone_studio"] = (embeddings[~self.val.studio] * studio).sum(1).mean().item()
        return scores

    def embeddings(self, captures: Captures) -> Tensor:
        """Unit embeddings ``(N, E)`` by the network as it is now; see `embed_all`."""
        return embed_all(self.accelerator.unwrap_model(self.modules["net"]), captures, self.accelerator.device)

    def preview(self, path: Path) -> None:
        """The cosines of all held-out captures, ordered by subject: a good network shows bright blocks on the
        diagonal."""
        if self.val is None:
            return
        order = self.val.labels.argsort(stable=True)[:256]
        embeddings = self.embeddings(self.val)[order]
        cosine = (embeddings @ embeddings.T).clamp(0, 1)
        scale = max(512 // len(order), 1)
        write_image(cosine.repeat_interleave(scale, 0).repeat_interleave(scale, 1)[None], path)

    def finish(self) -> dict[str, float]:
        return self.verify()


def train_identity(
    profile: Profile,
    role: str,
    data,
    run_dir: str | Path,
    *,
    seed: int = 0,
    **fit_options,
) -> IdentityNet:
    """Train the network of a role, ``"identity"`` (for losses) or ``"identity_eval"`` (for measuring).

    Args:
        data: a `TextureSet`; its "phone" subjects are trained on and its "val" subjects grade.
        run_dir: where `fit` keeps the run; the network itself is returned, on the CPU and in eval mode.
        fit_options: see `fit`.
    Raises:
        InputError: unknown role, or fewer than two subjects. WeightsError: see `fit`.
    """
    config = profile.identity
    net = IdentityNet.named(role, resolution=config.resolution)
    train = Captures(data, data.subjects("phone"), config.resolution)
    held_out = data.subjects("val")
    val = Captures(data, held_out, config.resolution, studio=True) if len(held_out) >= 2 else None
    torch.manual_seed(seed)  # the classifier's prototypes
    stage = IdentityStage(net, config, train, val)
    spec = data.manifest.get("spec", data.manifest)  # not the manifest's times and hashes
    settings = {"role": role, "profile": profile.name, "identity": dataclasses.asdict(config), "data": spec}
    fit(
        stage,
        config.images,
        run_dir,
        seed=seed,
        settings=settings,
        precision=profile.precision,
        **fit_options,
    )
    return stage.accelerator.unwrap_model(stage.modules["net"]).cpu().eval()
