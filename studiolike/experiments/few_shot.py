"""Laboratory of chapter 4: what freezing by row and by block touches, where codes come from, short runs of stage 3.

Everything obeys the protocol "few": studio textures are read through `protocols.permitted`.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .. import weights
from ..adaptation import CODES, AdaptStage, CodeSampler, EncodedCaptures, EncodedPairs
from ..adaptation.train import freeze_image_side
from ..config import AdaptConfig, Profile
from ..evaluation import REGIONS, EvaluationTable, StudioReference, bound, evaluate
from ..image import to_signed
from ..inversion import CodeBank
from ..protocols import paired_captures, permitted, studio_subjects
from ..synth import PhoneCapture, phone_capture, synthesise_subjects
from .painting import BATCH, codes_of, decode, overheard
from .short import short_run

if TYPE_CHECKING:
    from ..synth import TextureSet

PAPER, OURS = (
    ("adv", "percp", "face_id", "recons"),
    ("recons_detail", "low_light", "invariance", "other_light"),
)  # terms of the generator
STRONG = 50  # times L_faceID: far too much of it
TOO_STRONG = f"L_faceID × {STRONG}"  # what a run with it is called
RECITED = 4  # studio textures that a careless discriminator learns by heart


# --------------------------------------------------------------------------- what "after 8" touches


@dataclass(frozen=True)
class Block:
    """A block of a generator, and by how much two changes "after 8" move what it computes.

    Attributes:
        size: its resolution. rows: of w+ that its convolutions read. shared: the row that its toRGB reads.
        trained: whether it lies after the frozen ones.
        by_module, by_row: relative change of its features, and of its toRGB's output, when the modules of the later blocks
            were changed, or the rows of w+ from the first row of the later blocks on.
    """

    size: int
    rows: list[int]
    shared: int
    trained: bool
    by_module: tuple[float, float]
    by_row: tuple[float, float]


def two_readings(generator: nn.Module, codes: Tensor, others: Tensor, after: int = 8, seed: int = 1) -> list[Block]:
    """Both readings of "train what comes after ``after``", looked at from inside the network.

    Args:
        codes, others: ``(1, L, D)``, two people's. after: resolution of the last frozen block.
    """
    start = generator.rows(2 * after).start
    mixed = torch.cat([codes[:, :start], others[:, start:]], 1)
    shaken = copy.deepcopy(generator)
    with torch.no_grad():
        for parameter in shaken.modules_from(after).parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)).to(parameter))
    base, by_row, by_module = inside(generator, codes), inside(generator, mixed), inside(shaken, codes)
    found = []
    for size in generator.blocks:
        *rows, shared = generator.rows(int(size))
        changes = (
            tuple(float((a - b).norm() / a.norm()) for a, b in zip(base[size], other[size], strict=True))
            for other in (by_module, by_row)
        )
        found.append(Block(int(size), rows, shared, int(size) > after, *changes))
    return found


def inside(generator: nn.Module, codes: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Per block, the features that reach its toRGB, and what toRGB makes of them."""
    with torch.no_grad(), overheard(block.to_rgb for block in generator.blocks.values()) as heard:
        generator.synthesis(codes)
    return {size: (given[0], out) for size, (given, out) in zip(generator.blocks, heard, strict=True)}


# --------------------------------------------------------------------------- short runs


@dataclass(frozen=True)
class Source:
    """Codes of one origin, beside those of captures that nothing has learnt from.

    Attributes:
        codes: ``(N, L, D)``. distance: of an unseen capture's code to the nearest of them, median. layers: how much the rows
            of one code differ. Both in the code bank's standard deviations.
    """

    codes: Tensor
    distance: float
    layers: float


class FewShotLaboratory:
    """The released networks before stage 3, the few-shot set, and runs of stage 3 too short for anything but being watched.

    Attributes:
        live: settings of the runs. studio, held_out: uint8 ``(S, 3, H, W)``, textures to learn from and to watch D with.
        everybody, pairs: where codes come from, as in the released run.
        short, watched: images of the shortest run worth a look, and of one that is long enough to see D recite.
    """

    def __init__(self, settings: Profile, data: TextureSet, device: str = "cpu"):
        self.settings, self.data, self.device = settings, data, device
        names = ("g_phone", "d_phone", "encoder", "identity")
        self.g_phone, self.d_phone, self.encoder, self.identity = (weights.load(n, device=device) for n in names)
        self.judge = weights.load("identity_eval", device=device)  # no loss has seen it
        self.reference = StudioReference.from_set(data)
        self.bank = CodeBank.open(weights.weights_dir() / "bank.safetensors")
        shown = permitted(data, "few", watch=True)  # reading any other studio texture through this raises
        self.everybody = EncodedCaptures(shown, data.captures("phone"), self.encoder, self.g_phone)
        self.pairs = EncodedPairs(EncodedCaptures(shown, paired_captures(data, "few"), self.encoder, self.g_phone))
        self.studio = torch.as_tensor(shown.studio[studio_subjects(data, "few").numpy()])
        self.held_out = torch.as_tensor(shown.studio[data.subjects("val").numpy()])
        self.live: AdaptConfig = dataclasses.replace(settings.adapt, images=settings.live_images, warm_up=0.25)
        self.short, self.watched = max(settings.live_images // 4, 2 * self.live.batch), settings.live_images // 2

    def codes_of(self, texture: Tensor, visibility: Tensor) -> Tensor:
        """The encoder's codes ``(B, L, D)`` of all that was seen, as trainings take them, on the CPU."""
        return codes_of(self.encoder, self.g_phone, texture, visibility, batch=BATCH).cpu()

    @staticmethod
    def translate(generator: nn.Module, codes: Tensor) -> Tensor:
        """Textures of codes, in [0, 1], on the CPU; without noise, whose fine pattern would be the same on every face."""
        return decode(generator, codes, "none")

    def stage(self, studio: Tensor | None = None, **changes) -> AdaptStage:
        """Stage 3 with some settings changed, and with other studio textures for D if wanted."""
        return AdaptStage(
            dataclasses.replace(self.live, **changes),
            self.g_phone,
            self.d_phone,
            self.everybody,
            self.studio if studio is None else studio,
            self.pairs,
            identity=self.identity,
            held_out=self.held_out,
        )

    def train(self, images: int, **changes) -> tuple[nn.Module, dict[str, list[float]]]:
        """A short run, always from the same start and seed: the averaged generator and the log."""
        stage = self.stage(images=images, **changes)
        log = short_run(stage, images, device="cpu" if self.device == "cpu" else None, log_every=self.live.batch)
        return stage.accelerator.unwrap_model(stage.modules["ema"]).cpu().eval(), log

    @torch.no_grad()
    def first_terms(self, stage: AdaptStage, seed: int = 3) -> dict[str, float]:
        """Every weighted term of the generator for an untouched copy of G_phone, by the names of the log."""
        loss = stage.loss
        drawn, rows = self.everybody.twins(4, torch.Generator().manual_seed(seed))
        fake = self.g_phone.synthesis(drawn.to(self.device), "none")
        terms = loss.generator(fake, fake, self.d_phone(fake, torch.ones_like(fake[:, :1])))[1]
        codes, truth = self.pairs.draw(8, torch.Generator().manual_seed(seed))
        drawn = self.g_phone.synthesis(codes.to(self.device), "none")
        terms |= loss.pairs(drawn, to_signed(truth.to(self.device).float() / 255))[1] | loss.twins(fake)[1]
        terms |= loss.others(fake, *(x.to(self.device) for x in stage.others(rows)))[1] if stage.others else {}
        return {name: abs(float(value)) for name, value in terms.items()}

    def frozen_share(self) -> float:
        """Share of D's parameters that FreezeD keeps as they were."""
        judge = copy.deepcopy(self.d_phone).requires_grad_(True)
        freeze_image_side(judge, self.settings.adapt.freeze_d)
        sizes = [(p.numel(), p.requires_grad) for p in judge.parameters()]
        return sum(n for n, moves in sizes if not moves) / sum(n for n, _ in sizes)

    def sources(self, unseen: Tensor, draws: int = 256) -> dict[str, Source]:
        """Codes from Z, W, the bank, its mixtures, and captures as they come in, beside ``unseen (N, L, D)``."""
        samplers = {mode: CodeSampler(mode, self.g_phone, self.bank) for mode in CODES} | {"captures": self.everybody}
        spread, found = self.bank.w_plus.std(0).mean(), {}
        for mode in ("z", "w", "bank", "bank_mixture", "captures"):
            codes = samplers[mode](draws, torch.Generator().manual_seed(0)).cpu()
            nearest = torch.cdist(unseen.flatten(1), codes.flatten(1)).min(1).values / codes[0].numel() ** 0.5
            found[mode] = Source(codes, float((nearest / spread).median()), float(codes.std(1).mean() / spread))
        return found

    def measure(
        self, rows: Tensor, results: Mapping[str, Tensor], rivals: bool = False, regions: Sequence[str] = REGIONS
    ) -> EvaluationTable:
        """Evaluate textures ``(N, 3, H, W)`` that were made of capture ``rows (N,)``; with the simple ``rivals`` if wanted.

        No KID: it would need people that are neither measured here nor learnt from.
        """
        methods = {name: (lambda *_, made=made: made) for name, made in results.items()}
        methods = (bound(self.reference) if rivals else {}) | methods
        nobody = torch.zeros(0, dtype=torch.long)
        options = {"eval_net": self.judge, "batch": len(rows), "regions": regions, "device": self.device}
        return evaluate(methods, self.data, rows, reference_subjects=nobody, **options)

    def one_person(self, lights: int = 6, seed: int = 7_000_000) -> PhoneCapture:
        """One person of the split "val" under several lights."""
        head = synthesise_subjects(self.data.seeds[self.data.subjects("val")[:1]], self.data.resolution)
        return phone_capture(head[torch.zeros(lights, dtype=torch.long)], seed + torch.arange(lights))

    def switched_off(self) -> dict[str, dict[str, float]]:
        """Settings of short runs, each without one kind of term, and one with far too much of L_faceID."""
        return {
            "all terms": {},
            "no L_adv": {"adversarial": 0.0},
            "no pairs": {"recons": 0.0, "recons_detail": 0.0, "low_light": 0.0},
            "no invariance": {"invariance": 0.0},
            "no other captures": {"other_light": 0.0},
            "no L_faceID": {"identity": 0.0},
            "no L_faceID, L_percp": {"identity": 0.0, "perceptual": 0.0},
            TOO_STRONG: {"identity": STRONG * self.live.identity},
        }

    def careless(self) -> dict[str, object]:
        """Settings under which D recites: `RECITED` textures, no augmentation, nothing frozen, and no term but L_adv."""
        terms = ("identity", "perceptual", "recons", "recons_detail", "low_light", "invariance", "other_light")
        return dict.fromkeys(terms, 0.0) | {"studio": self.studio[:RECITED], "augment": 0.0, "freeze_d": 0}
