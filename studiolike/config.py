"""Every knob of every stage, in one frozen tree, for four sizes of the same code path.

`profile("cpu")` gives the tree that a command or a chapter runs with: ``smoke`` (the smallest, for tests), ``cpu`` (minutes
on two cores), ``gpu`` (one Colab T4) and ``paper`` (the paper's scale, which takes more than the 15 GB of a T4: 22 GB of each
of four GPUs, as tests/test_device_lint.py counts; the others fit one T4). That all live training of the book takes a T4 less
than a third of an hour is a count of operations (tests/test_device_lint_time.py), not a measurement, and leaves out what
chapters do besides. Profiles change sizes, never code paths. Amounts of training are counted in *images*, so that they mean
the same at any batch.
A profile whose parts disagree, on the size of the textures for example, cannot be made: `ProfileError` says what to change.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .errors import ProfileError

GROUPS = 8  # of the detailer's group normalisation, which divide its channels


@dataclass(frozen=True)
class DataConfig:
    """The synthetic set; all splits are disjoint by subject."""

    resolution: int = 128  # texels, of the set the GAN stages read
    detail_resolution: int = 256  # texels, of the set the detailer and the tests read
    phone_subjects: int = 3000  # pre-training
    lightings: int = 4  # captures per pre-training subject
    studio_subjects: int = 64  # few-shot set: people whose captures and studio textures every protocol may read
    pair_subjects: int = 20  # the rest of the few-shot set
    val_subjects: int = 32
    test_subjects: int = 32
    test_lightings: int = 4
    detail_subjects: int = 800  # pre-training subjects in the detailer's set; the protocol says whose studio textures it reads
    first_seed: int = 0


@dataclass(frozen=True)
class GeneratorConfig:
    """StyleGAN2's size: channels at resolution r are channel_base / r, at least 16 and at most channel_max."""

    resolution: int = 128
    w_dim: int = 128
    mapping_layers: int = 4
    channel_base: int = 2048
    channel_max: int = 128


@dataclass(frozen=True)
class PretrainConfig:
    """Stage 1, G_phone (Karras et al. 2020, with ADA's heuristics)."""

    images: int = 76_000
    batch: int = 8
    lr: float = 0.001
    cool_down: float = 0.15  # share of the images, at the end, over which the learning rates fall to zero
    d_rate: float = 2.0  # learning rate of D relative to lr; at 1 it stayed near chance on little compute
    warm_up: int = 24_000  # images on which G learns to reconstruct, with its encoder, before the game with D begins
    warm_up_lr: float = 0.004  # at the start; falls to lr by its end
    # R1's γ is this · resolution² / batch; the rule of thumb of Karras et al. 2020b is 2e-4, D's amplified bands need less
    r1: float = 1.5e-5
    r1_every: int = 16
    ema_kimg: float | None = None  # None: batch · 10 / 32 kimg half-life, ramped up
    mixing: float = 0.9  # probability of style mixing
    augment: float = 0.2  # probability of each differentiable augmentation
    face_weight: float = 2.0  # of the face in the pixel loss, against the rest of the head
    portrait: float = 0.25  # share of captures cut down to the face, which is all that one photo's face mesh shows
    encoded: float = 0.5  # share of the fakes that are reconstructions by an encoder that learns along; 0 = plain StyleGAN2
    reconstruction: float = 20.0  # weight of their pixel loss
    spread: float = 0.1  # weight of the spread of a code's rows
    matching: float = 0.2  # how fast random codes are drawn to the encoder's, as a share of lr
    compile: bool = False  # torch.compile for G and D where they are differentiated once; a CPU gains nothing


@dataclass(frozen=True)
class EncoderConfig:
    """After stage 1: the encoder, trained on with G at rest."""

    images: int = 16_000
    batch: int = 8
    lr: float = 0.003
    prior: float = 3e-4  # weight of |w − w_mean|², whitened
    portrait: float = 0.25  # as in pre-training


@dataclass(frozen=True)
class InversionConfig:
    """Stage 2, w+ by optimisation. With an encoder's start and the generator's curvature few steps are enough."""

    steps: int = 16
    lr: float = 0.2  # of Adam, where no curvature is given: standard deviations of w per step
    space: str = "w+"  # "w" or "w+"
    prior: float = 1e-3  # weight of |w − w_mean|², whitened
    features: float = 0.0  # weight of the feature distance; it doubles the time, and more steps gained more in that time
    pixels: float = 1.0
    batch: int = 16


@dataclass(frozen=True)
class AdaptConfig:
    """Stage 3, the studio fine-tuning objective; defaults are our choices, the paper does not state them."""

    images: int = 16_000
    batch: int = 8  # codes in a step: those of people without a studio texture, and those of the pairs
    unpaired: float = 0.5  # share of the first
    lr: float = 0.002
    warm_up: float = 0.5  # share of the images, at the start, without the adversarial term
    cool_down: float = 0.5  # share of the images, at the end, over which the learning rates fall to zero
    train_from: int = 8  # synthesis blocks of a resolution above this are trained
    train_rgb: bool = True  # toRGB of the other blocks too: they paint the coarse light, which later ones can only paint over
    r1: float = 9.765625e-6  # R1's γ is this · resolution² / batch, as in pre-training: 0.02 at 128² and 8
    r1_every: int = 16
    adversarial: float = 0.2
    recons: float = 4.0  # L_percp-recons, on the pairs
    perceptual: float = 0.5  # λ1
    identity: float = 1.0  # λ2
    identity_kind: str = "cosine"  # L_faceID as 1 − cos ("cosine") or mean squared error ("mse")
    recons_detail: float = 8.0  # ours, on the pairs: texels at all scales, the face counting double, for eyes are few texels
    low_light: float = 2.4  # ours, on the pairs: the low band in logarithmic light
    invariance: float = 4.0  # ours, on everybody: two captures of one person must give one texture
    other_light: float = 8.0  # ours, on everybody: the low band that the person's other captures tell
    disturbed: float = 0.7  # share of the captures that are disturbed as real ones are, before they are encoded
    kept: int = 2  # disturbances of each capture that are encoded once and used again; 0: new ones each time, twice as slow
    codes: str = "captures"  # as they come in, through the encoder; or "bank", "bank_mixture", "w", "z"
    bank: int = 300  # captures of the pre-training set that are inverted into the code bank; 0 = all
    freeze_d: int = 2  # image-side blocks of D_studio that stay as in D_phone
    augment: float = 0.5
    ema_kimg: float | None = 0.5


@dataclass(frozen=True)
class ToneConfig:
    """The network that reads how light somebody's skin is, which G_studio's texture is brought to."""

    images: int = 250_000
    batch: int = 64
    lr: float = 2e-3
    others: float = 1.0  # weight of what a person's other captures tell, where nobody knows the studio texture


@dataclass(frozen=True)
class DetailConfig:
    """Stage 4, the diffusion detailer."""

    resolution: int = 256  # texels; finer detail is the phone's alone
    crop: int = 128
    crops: int = 4  # of each capture that went through the chain, which costs more than a crop's step
    channels: tuple[int, ...] = (48, 64, 96)
    images: int = 15_000
    batch: int = 8
    lr: float = 4e-4
    hidden: float = 0.1  # share of the samples to which the phone is not shown
    sample_steps: int = 1  # more leave more grain: by every measure on the split "val"


@dataclass(frozen=True)
class IdentityConfig:
    """The small identity and perceptual networks, one for the losses and another for the evaluation."""

    resolution: int = 64
    images: int = 80_000
    batch: int = 32
    lr: float = 2e-3
    margin: float = 0.2
    scale: float = 16.0


def _open(config: AdaptConfig) -> AdaptConfig:
    """The settings of stage 3 where everybody's true texture is known: the terms that do without one have nothing to add, and
    the coarse layers, frozen to keep the person, may move."""
    return replace(config, unpaired=0.0, train_from=0, adversarial=0.0, perceptual=0.0, identity=0.0, recons=0.0, other_light=0.0)


@dataclass(frozen=True)
class Profile:
    """One size of everything. ``data`` feeds ``make weights``; ``chapter`` is the smaller set that chapters make
    for themselves: the same subjects by split, only fewer of them.

    Raises:
        ProfileError: parts that do not fit each other.
    """

    name: str = "cpu"
    data: DataConfig = field(default_factory=DataConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    inversion: InversionConfig = field(default_factory=InversionConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    adapt_open: AdaptConfig = field(default_factory=lambda: _open(AdaptConfig(images=100_000)))
    tone: ToneConfig = field(default_factory=ToneConfig)
    detail: DetailConfig = field(default_factory=DetailConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    chapter: DataConfig = field(
        default_factory=lambda: DataConfig(phone_subjects=64, lightings=2, detail_subjects=32, test_lightings=2)
    )
    live_images: int = 320  # how many images a chapter trains on before it loads the released weights
    contest_images: int = 640  # that each of two rivals gets where a chapter compares ways of training
    precision: str = "no"  # accelerate's mixed precision: "no", "fp16" or "bf16"

    def adaptation(self, protocol: str) -> AdaptConfig:
        """Settings of stage 3 under a protocol."""
        return self.adapt if protocol == "few" else self.adapt_open

    def __post_init__(self) -> None:
        size, fine, data, chapter = self.generator.resolution, self.detail.resolution, self.data, self.chapter
        counts = [name for name in DataConfig.__dataclass_fields__ if name.endswith(("subjects", "lightings"))]
        more = [name for name in counts if getattr(chapter, name) > getattr(data, name)]
        warm_up = self.pretrain.warm_up if self.pretrain.encoded else 0
        problems = {
            f"the generator makes {size}², data.resolution is {data.resolution}": data.resolution != size,
            f"the detailer makes {fine}², data.detail_resolution is {data.detail_resolution}": data.detail_resolution != fine,
            f"detail.resolution {fine} is no multiple of generator.resolution {size}": fine % size,
            f"detail.crop {self.detail.crop} is larger than detail.resolution {fine}": self.detail.crop > fine,
            f"detail.channels {self.detail.channels} are not all multiples of {GROUPS}": any(
                c % GROUPS for c in self.detail.channels
            ),
            f"chapter textures are {chapter.resolution}² and {chapter.detail_resolution}², those of data {data.resolution}² "
            f"and {data.detail_resolution}²": (chapter.resolution, chapter.detail_resolution)
            != (data.resolution, data.detail_resolution),
            f"chapter has more {', '.join(more)} than data": more,
            f"chapter.first_seed {chapter.first_seed} is not data's {data.first_seed}": chapter.first_seed != data.first_seed,
            f"pretrain.warm_up {warm_up} leaves no game in {self.pretrain.images} images": warm_up >= self.pretrain.images,
            f"unknown precision '{self.precision}', choose no, fp16 or bf16": self.precision not in ("no", "fp16", "bf16"),
        }
        found = [problem for problem, there in problems.items() if there]
        if found:
            raise ProfileError(f"the profile {self.name} contradicts itself: {'; '.join(found)}: set both or neither")

    def sized(self, generator: GeneratorConfig, detail: int) -> Profile:
        """This profile with another generator and a detailer of ``detail`` texels; textures and crops follow."""
        sizes = {"resolution": generator.resolution, "detail_resolution": detail}
        crop = min(self.detail.crop, detail)
        return replace(
            self,
            generator=generator,
            data=replace(self.data, **sizes),
            chapter=replace(self.chapter, **sizes),
            detail=replace(self.detail, resolution=detail, crop=crop),
        )


_CPU = Profile()
_SMOKE_DATA = DataConfig(
    phone_subjects=12,
    lightings=2,
    studio_subjects=6,
    pair_subjects=4,
    val_subjects=4,
    test_subjects=4,
    test_lightings=2,
    detail_subjects=8,
)
PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        name="smoke",
        data=_SMOKE_DATA,
        pretrain=PretrainConfig(images=32, batch=8, warm_up=16),
        encoder=EncoderConfig(images=16),
        inversion=InversionConfig(steps=8, batch=8),
        adapt=AdaptConfig(images=16, bank=8),
        adapt_open=_open(AdaptConfig(images=16)),
        tone=ToneConfig(images=48, batch=24),
        detail=DetailConfig(resolution=256, crop=64, channels=(16, 32), images=16, batch=4, sample_steps=2),
        identity=IdentityConfig(images=64, batch=16),
        chapter=_SMOKE_DATA,
        live_images=16,
        contest_images=32,
    ),
    "cpu": _CPU,
    "gpu": Profile(
        name="gpu",
        data=replace(
            _CPU.data,
            resolution=256,
            detail_resolution=512,
            studio_subjects=200,
            detail_subjects=600,
            test_subjects=64,
            test_lightings=8,
        ),
        generator=GeneratorConfig(resolution=256, w_dim=256, mapping_layers=8, channel_base=8192, channel_max=256),
        pretrain=PretrainConfig(images=600_000, batch=32, warm_up=100_000),
        encoder=EncoderConfig(images=200_000, batch=32),
        inversion=InversionConfig(steps=20, batch=32),
        adapt=AdaptConfig(images=60_000, batch=16, bank=6000),
        adapt_open=_open(AdaptConfig(images=120_000, batch=16)),
        detail=DetailConfig(resolution=512, crop=192, channels=(64, 128, 192), images=200_000, batch=16, lr=2e-4),
        identity=IdentityConfig(resolution=128, images=400_000, batch=128),
        chapter=replace(_CPU.chapter, resolution=256, detail_resolution=512),
        live_images=4_000,
        contest_images=2560,
        precision="fp16",
    ),
    "paper": Profile(
        name="paper",
        data=DataConfig(
            resolution=1024,
            detail_resolution=1024,
            phone_subjects=6000,
            lightings=2,
            studio_subjects=200,
            val_subjects=64,
            test_subjects=64,
            test_lightings=8,
            detail_subjects=4000,
        ),
        generator=GeneratorConfig(resolution=1024, w_dim=512, mapping_layers=8, channel_base=32768, channel_max=512),
        pretrain=PretrainConfig(images=5_000_000, batch=32, lr=0.002, warm_up=200_000),
        encoder=EncoderConfig(images=400_000, batch=32),
        inversion=InversionConfig(steps=40, batch=8),
        adapt=AdaptConfig(images=200_000, batch=16, bank=0),
        adapt_open=_open(AdaptConfig(images=400_000, batch=16)),
        detail=DetailConfig(resolution=1024, crop=256, channels=(96, 192, 256), images=2_000_000, batch=32, lr=2e-4),
        identity=IdentityConfig(resolution=128, images=1_000_000, batch=256),
        chapter=replace(_CPU.chapter, resolution=1024, detail_resolution=1024),
        live_images=50_000,
        contest_images=2560,
        precision="bf16",
    ),
}


def profile(name: str) -> Profile:
    """The tree of settings called ``name``; ``auto`` is the one that fits this machine: ``gpu`` with a CUDA device, else ``cpu``.

    Raises:
        ProfileError: unknown name.
    """
    if name == "auto":
        import torch

        name = "gpu" if torch.cuda.is_available() else "cpu"
    try:
        return PROFILES[name]
    except KeyError:
        raise ProfileError(f"unknown profile '{name}'; choose one of {', '.join(PROFILES)}") from None
