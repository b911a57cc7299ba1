"""The stages in their order: which data each one reads, where its run lives, what it releases.

`train("all", profile("cpu"), "runs")` is ``make weights``: data → identity networks → G_phone → code bank, and then, once
for each of the two `protocols`, G_studio → tone → detailer. Every step resumes where it was stopped and does nothing when it is
done. Under ``accelerate launch`` the
processes train together; sets, code banks and releases are the main one's to write.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import weights
from .config import DataConfig, GeneratorConfig, Profile
from .config import profile as find_profile
from .errors import InputError, ProfileError
from .image import from_signed
from .inversion.bank import fingerprint
from .protocols import PROTOCOLS, check, paired_captures, permitted, studio_subjects
from .training import fit, processes

if TYPE_CHECKING:
    from accelerate import PartialState

    from .evaluation import EvaluationTable
    from .inversion import CodeBank
    from .pipeline import StudioPipeline
    from .synth import SetSpec, TextureSet


def set_spec(config: DataConfig, detailed: bool, test: bool = False) -> SetSpec:
    """The set the GAN stages read, or, ``detailed``, the larger textures of the detailer and the evaluation.

    The split "test" is there only with ``test``, and then alone with "val", which settings are chosen on, and the few-shot
    textures that simple rivals know: a training set does not hold what the final evaluation reads.
    """
    from .synth import SetSpec

    return SetSpec(
        first_seed=config.first_seed,
        resolution=config.detail_resolution if detailed else config.resolution,
        phone_subjects=0 if test else config.detail_subjects if detailed else config.phone_subjects,
        studio_subjects=config.studio_subjects,
        pair_subjects=config.pair_subjects,
        val_subjects=config.val_subjects,
        test_subjects=config.test_subjects if test else 0,
        lightings=min(config.lightings, 2) if detailed and not test else config.lightings,
        test_lightings=config.test_lightings,
        shared_test_light=False,
    )


def make_set(
    config: DataConfig,
    root: str | Path,
    detailed: bool = False,
    *,
    test: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> TextureSet:
    """Open the set of ``config`` under ``root``; make it first (or finish making it) if it is not there. See `set_spec`."""
    from .synth import write_set

    spec = set_spec(config, detailed, test)
    digest = spec.digest()[:10]
    return write_set(spec, Path(root) / f"heads-{spec.resolution}-{digest}", device=device, progress=progress)


def data_sets(profile: Profile, runs: str | Path, *, device: str = "cpu", progress: bool = True) -> tuple[TextureSet, TextureSet]:
    """Both sets of a profile's training, under ``runs/data``."""
    root = Path(runs) / "data"
    return (
        make_set(profile.data, root, device=device, progress=progress),
        make_set(profile.data, root, detailed=True, device=device, progress=progress),
    )


def chapter_set(
    profile: Profile, detailed: bool = False, runs: str | Path = "runs", *, test: bool = False, progress: bool = True
) -> TextureSet:
    """The smaller sets that chapters work with: the same subjects by split, fewer of them; with ``test`` the final
    evaluation's.

    Made when first asked for and kept under ``runs/data``, or in the folder that $STUDIOLIKE_DATA names.
    """
    root = os.environ.get("STUDIOLIKE_DATA") or Path(runs) / "data"
    return make_set(profile.chapter, root, detailed, test=test, progress=progress)


def train(
    stage: str,
    profile: Profile,
    runs: str | Path,
    *,
    release: bool = False,
    warm: bool = False,
    device: str | None = None,
    seed: int = 0,
    progress: bool = True,
    studio: Path | None = None,
    protocol: str | None = None,
) -> None:
    """Train one stage, or all in order; with ``release`` the result replaces the released weights.

    A single stage starts from the networks of the stages before it: this profile's own runs where they exist, else
    the released weights. With ``warm`` G_phone, D_phone and the encoder do not start from noise but from the released ones.
    ``studio`` is a set whose studio textures the stage "adapt" is to learn from. ``protocol``: "few" or "open" for the stages
    "adapt", "tone" and "detail"; None trains both.

    Raises:
        ProfileError: unknown stage, a release of what was trained on ``studio``, or ``warm`` and networks of another size.
        InputError: ``studio`` does not fit. WeightsError: a run folder of other settings. ProtocolError: unknown protocol.
    """
    known = (*SHARED, *BY_PROTOCOL)
    if stage != "all" and stage not in known:
        raise ProfileError(f"unknown stage '{stage}'; choose one of {', '.join(known)} or all")
    if studio and (stage != "adapt" or release):  # most real sets forbid what a release under MIT would allow
        raise ProfileError("--studio-set is for the stage adapt alone, and never for a release")
    if studio:  # D reads it, and under "open" there is no D
        if protocol == "open":
            raise ProfileError("--studio-set goes with --protocol few")
        protocol = "few"
    if protocol is not None:
        check(protocol)
    if warm:
        check_size(profile)  # now, not after the hours of the stages before
    context = Context(profile, Path(runs) / profile.name, release, warm, device, seed, progress, studio)
    for name in tuple(SHARED) if stage == "all" else (stage,) if stage in SHARED else ():
        SHARED[name](context)
    for chosen in PROTOCOLS if protocol is None else (protocol,):
        for name in tuple(BY_PROTOCOL) if stage == "all" else (stage,) if stage in BY_PROTOCOL else ():
            BY_PROTOCOL[name](context, chosen)


def check_size(profile: Profile) -> None:
    """Raise `ProfileError` if the released G_phone is not of the profile's size."""
    if released_generator() != profile.generator:
        raise _another_size("g_phone", profile)


def _another_size(name: str, profile: Profile) -> ProfileError:
    return ProfileError(f"the released {name} has not the size that the profile {profile.name} trains: leave --warm out")


def released_generator() -> GeneratorConfig:
    """Size of the released generators."""
    config = weights.read_config("g_phone")
    return GeneratorConfig(**{field.name: config[field.name] for field in dataclasses.fields(GeneratorConfig)})


def chapter_profile(name: str) -> Profile:
    """The settings of a chapter: the profile called ``name``, in the size of the networks that the chapter shows.

    Those are the released ones, or the ones that $STUDIOLIKE_WEIGHTS names. Were the textures of another size, a generator
    could not read them, and a detailer would be judged where it was not trained.
    """
    return find_profile(name).sized(released_generator(), weights.read_config("detailer")["resolution"])


@dataclasses.dataclass
class Context:
    """What every training step needs: settings, the folder of runs, and whether to release."""

    profile: Profile
    runs: Path
    release: bool
    warm: bool
    device: str | None
    seed: int
    progress: bool
    studio: Path | None = None

    @property
    def processes(self) -> PartialState:
        return processes(self.device)

    def set_of(self, detailed: bool) -> TextureSet:
        with self.processes.main_process_first():  # the others open what it wrote
            return make_set(
                self.profile.data, self.runs.parent / "data", detailed=detailed, device=self.data_device, progress=self.progress
            )

    @property
    def data(self) -> TextureSet:
        return self.set_of(detailed=False)

    @property
    def detailed(self) -> TextureSet:
        return self.set_of(detailed=True)

    @property
    def data_device(self) -> str:
        return str(self.processes.device)

    @property
    def options(self) -> dict[str, Any]:
        return {"seed": self.seed, "device": self.device, "progress": self.progress}

    def network(self, name: str, protocol: str = "open") -> nn.Module:
        """A network of an earlier stage: from this profile's runs, else the released one."""
        own = self.runs / "networks"
        there = (weights.folder_of(name, protocol, own) / weights.FILE).is_file()
        return weights.load(name, protocol=protocol, root=own if there else None)

    def has(self, name: str) -> bool:
        """Whether there is such a network, own or released."""
        return any((root / name / weights.FILE).is_file() for root in (self.runs / "networks", weights.weights_dir()))

    def start(self, name: str, model: nn.Module) -> dict[str, Any]:
        """Put the released weights into ``model`` if that is wanted; returns what the card should say.

        Raises:
            ProfileError: they are of another size. WeightsError: there are none.
        """
        if not self.warm:
            return {}
        try:
            model.load_state_dict(weights.load(name).state_dict())
        except RuntimeError as error:
            raise _another_size(name, self.profile) from error
        before = weights.read_card(name)
        return {"started_from": {k: before.get(k) for k in ("data", "images", "seed", "commit", "started_from")}}

    def keep(
        self,
        model: nn.Module,
        name: str,
        data: TextureSet,
        metrics: dict[str, float],
        run: str | None = None,
        extra: dict[str, Any] | None = None,
        protocol: str = "open",
    ) -> None:
        """Store a trained network for the next stages, and release it if asked."""
        record = self.runs / (run or name) / "record.json"
        facts = json.loads(record.read_text()) if record.is_file() else {}
        card = {
            "profile": self.profile.name,
            "data": f"synthetic heads, generator {data.manifest['generator']}, "
            f"{len(data.phone)} phone textures of {len(data.studio)} subjects at {data.resolution}²",
            **{key: facts.get(key) for key in ("images", "seconds", "seed", "device", "commit", "torch", "settings")},
            "metrics": {k: round(float(v), 5) for k, v in {**facts.get("metrics", {}), **metrics}.items()},
            **(extra or {}),
        }
        with self.processes.main_process_first():  # the next stage reads it, in every process
            if self.processes.is_main_process:
                weights.release(model, name, card, self.runs / "networks", protocol)
                if self.release:
                    weights.release(model, name, card, protocol=protocol)

    def bank(self, g_phone: nn.Module, d_phone: nn.Module, data: TextureSet, rows: Tensor, name: str) -> CodeBank:
        """Codes of some captures, inverted once and kept."""
        from .inversion import build_bank

        device = self.data_device
        encoder, curvature = (self.network(n).to(device) if self.has(n) else None for n in ("encoder", "curvature"))
        with self.processes.main_process_first():
            return build_bank(  # type: ignore[return-value]
                g_phone.to(device),
                data,
                rows,
                self.profile.inversion,
                self.runs / f"{name}.safetensors",
                feature_net=d_phone.to(device),
                encoder=encoder,
                curvature=curvature,
                progress=self.progress,
                overwrite=True,
            )


def train_identity_networks(context: Context) -> None:
    """Two networks of different seed and shape: one for the losses, one that only measures."""
    from .features import train_identity

    for seed, role in enumerate(("identity", "identity_eval")):
        net = train_identity(
            context.profile,
            role,
            permitted(context.data, "few", watch=True),
            context.runs / role,
            **context.options | {"seed": context.seed + seed},
        )
        context.keep(net, role, context.data, {})


def train_phone(context: Context) -> None:
    """Stage 1."""
    from .inversion import Curvature
    from .stylegan2 import phone_networks, pretrain

    profile, data = context.profile, context.data
    nets = phone_networks(profile, context.seed)
    released = {
        "encoder": "encoder",
        "ema_encoder": "encoder",
        "discriminator": "d_phone",
        "generator": "g_phone",
        "ema": "g_phone",
    }
    start = {name: context.start(released[name], net) for name, net in nets.items()}["ema"]
    settings = {
        "pretrain": dataclasses.asdict(profile.pretrain) | {"images": None, "compile": None},
        "warm": start,
        "generator": dataclasses.asdict(profile.generator),
        "data": data.manifest["spec"],
    }

    def quality(generator: nn.Module) -> dict[str, float]:
        return phone_quality(context, generator, data)

    pretrain(profile, nets, data, context.runs / "g_phone", settings=settings, quality=quality, **context.options)
    g_phone, d_phone = nets["ema"].cpu(), nets["discriminator"].cpu().eval()
    context.keep(g_phone, "g_phone", data, quality(g_phone), extra=start)
    context.keep(d_phone, "d_phone", data, {}, run="g_phone", extra=start)
    context.keep(Curvature.of(g_phone.to(context.data_device)).cpu(), "curvature", data, {}, run="g_phone", extra=start)
    if "ema_encoder" in nets:
        train_encoder(context, nets["ema_encoder"], g_phone.cpu(), start)


def train_encoder(context: Context, encoder: nn.Module, g_phone: nn.Module, extra: dict[str, Any]) -> None:
    """The end of stage 1: the encoder of the game, trained on with G at rest."""
    from .inversion import EncoderStage

    config, data = context.profile.encoder, context.data
    # the encoder of the game tells one G_phone from another; G's mapping network was fit a moment ago, not loaded
    settings = {"encoder": dataclasses.asdict(config), "data": data.manifest["spec"], "start": fingerprint(encoder)}
    stage = EncoderStage(config, encoder, g_phone, data)
    fit(stage, config.images, context.runs / "encoder", settings=settings, precision=context.profile.precision, **context.options)
    encoder, g_phone = encoder.cpu().eval(), g_phone.cpu()
    context.keep(
        encoder,
        "encoder",
        data,
        encoder_quality(encoder, g_phone, data),
        extra=extra
        | {"remark": "images, seconds and settings are those after the game; the card of g_phone has those of the game"},
    )


@torch.no_grad()
def phone_quality(context: Context, g_phone: nn.Module, data: TextureSet, count: int = 256) -> dict[str, float]:
    """KID of samples against held-out phone textures (both seen through the same visibility), and its floor."""
    from .evaluation import PooledFeatures, kid

    rows = data.captures("val")[:count]
    texture, visibility = data.phone_batch(rows, "cpu")
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(len(rows), g_phone.config.w_dim, generator=rng)
    device = next(g_phone.parameters()).device
    samples = torch.cat([from_signed(g_phone(part.to(device))).cpu() for part in z.split(16)])
    features = PooledFeatures()
    shuffled = torch.randperm(len(rows), generator=rng)
    half = len(rows) // 2
    value = kid(features, samples * visibility, texture * visibility)
    floor = kid(features, (texture * visibility)[shuffled[:half]], (texture * visibility)[shuffled[half:]])
    return {"kid": value.mean, "kid_std": value.std, "kid_floor": floor.mean, "kid_floor_std": floor.std}


def encoder_quality(encoder: nn.Module, g_phone: nn.Module, data: TextureSet) -> dict[str, float]:
    """PSNR in observed texels of reconstructions of held-out captures, after one pass and after two; dB."""
    from .image import to_signed
    from .inversion import observed_psnr
    from .stylegan2 import encode

    rows = data.captures("val")
    values: dict[str, list[Tensor]] = {"psnr_one_pass": [], "psnr_two_passes": []}
    for part in rows.split(16):
        texture, visibility = data.phone_batch(part, "cpu")
        for passes, kept in enumerate(values.values(), start=1):
            picture = g_phone.synthesis(encode(encoder, g_phone, texture, visibility, passes)).detach().clamp(-1, 1)
            kept.append(observed_psnr(picture, to_signed(texture), visibility))
    return {name: torch.cat(kept).nanmean().item() for name, kept in values.items()}


def imported_studio(path: Path, resolution: int) -> tuple[Tensor, Tensor, str]:
    """Studio textures of a set of ``studiolike data import``, uint8 ``(S, 3, H, W)``: to learn from, held out, and a digest.

    Raises:
        InputError: no such set, no studio textures in it, or of another resolution.
    """
    from .synth import TextureSet

    data = TextureSet.open(path)
    if data.resolution != resolution:
        raise InputError(
            f"{path} has {data.resolution}² texels, this profile needs {resolution}: import it with --size {resolution}"
        )
    known = torch.arange(len(data.studio))
    parts = [
        torch.from_numpy(data.studio[rows[torch.isin(rows, known)].numpy()])
        for rows in (torch.cat([data.subjects("studio"), data.subjects("pairs")]), data.subjects("val"))
    ]
    if not len(parts[0]):
        raise InputError(f"{path} has no studio textures to learn from: import some with --studio")
    return parts[0], parts[1], data.manifest["sha256"]["studio"]


def train_codes(context: Context) -> None:
    """The code bank: some captures of the pre-training set, and those of the few pairs, inverted once for the chapters."""
    data, profile = context.data, context.profile
    g_phone, d_phone = context.network("g_phone"), context.network("d_phone")
    rows, wanted = data.captures("phone"), profile.adapt.bank
    if wanted and wanted < len(rows):  # spread over the subjects, not the first few of them
        rows = rows[torch.linspace(0, len(rows) - 1, wanted).long()]
    for name, chosen in (("bank", rows), ("pairs", data.captures("pairs"))):
        bank = context.bank(g_phone, d_phone, data, chosen, name)
        if context.processes.is_main_process:
            bank.save(context.runs / "networks" / f"{name}.safetensors")
            if context.release:
                half = dataclasses.replace(bank, w_plus=bank.w_plus.half())
                half.save(weights.weights_dir() / f"{name}.safetensors")
    if context.release and context.processes.is_main_process:
        from .evaluation import StudioReference

        weights.write_studio_mean(StudioReference.from_set(permitted(data, "few")).mean)


EXEMPLARS, EXEMPLAR_SIZE = 16, 512  # more people bring nothing, by the perceptual distance in the holes of the split "val"


def choose_exemplars(context: Context) -> None:
    """People of the few-shot set whose studio textures lend detail to what nobody saw; drawn anew, larger than the set's."""
    from .detail.exemplars import choose
    from .synth.head import synthesise_subjects
    from .synth.studio import studio_texture

    data = permitted(context.data, "few")
    people = studio_subjects(data, "few")
    chosen = people[choose(data.studio_batch(people), EXEMPLARS)]
    seeds = torch.as_tensor(data.seeds)[chosen]
    drawn = torch.cat([studio_texture(synthesise_subjects(seed[None], EXEMPLAR_SIZE)) for seed in seeds])
    if context.processes.is_main_process:
        for folder in (context.runs / "networks", *([weights.weights_dir()] if context.release else [])):
            weights.write_exemplars(drawn, folder)


def train_adapt(context: Context, protocol: str) -> None:
    """Stage 3: studio fine-tuning on the codes that will come in."""
    from .adaptation import train_studio

    run, extra = f"g_studio-{protocol}", {"protocol": protocol}
    data = permitted(context.data, protocol, watch=True)
    own = imported_studio(context.studio, context.profile.data.resolution) if context.studio else None
    g_phone, d_phone, encoder = (context.network(name) for name in ("g_phone", "d_phone", "encoder"))
    if own:
        studio, held_out, digest = own
        run = f"{run}-{digest[:8]}"  # never go on with a run of other textures
        extra |= {"studio_textures": f"{len(studio)} of an imported set, sha256 {digest}"}
    else:
        studio, held_out = (
            torch.as_tensor(data.studio[rows.numpy()]) for rows in (studio_subjects(data, protocol), data.subjects("val"))
        )
    g_studio = train_studio(
        context.profile,
        g_phone.to(context.data_device),
        d_phone,
        encoder.to(context.data_device),
        data,
        protocol,
        studio,
        context.runs / run,
        identity=context.network("identity"),
        held_out=held_out,
        **context.options,
    )
    context.keep(g_studio, "g_studio", context.data, run=run, extra=extra, metrics={}, protocol=protocol)


def train_tone(context: Context, protocol: str) -> None:
    """Stage 3, its second part: the network that reads how light somebody's skin is."""
    from .tone import ToneStage

    config, data = context.profile.tone, permitted(context.data, protocol, watch=True)
    stage = ToneStage(config, data, protocol, seed=context.seed)
    run = f"tone-{protocol}"
    settings = {"tone": dataclasses.asdict(config), "data": data.manifest["spec"], "protocol": protocol}
    fit(stage, config.images, context.runs / run, settings=settings, **context.options)
    context.keep(stage.net.cpu().eval(), "tone", context.data, {}, run=run, extra={"protocol": protocol}, protocol=protocol)


def train_detail(context: Context, protocol: str) -> None:
    """Stage 4: the detailer, on what this protocol's G_studio gives it."""
    from .detail import DetailStage

    config, data = context.profile.detail, permitted(context.detailed, protocol, watch=True)
    stage = DetailStage(
        config,
        data,
        paired_captures(data, protocol),
        g_phone=context.network("g_phone"),
        encoder=context.network("encoder"),
        g_studio=context.network("g_studio", protocol),
        tone=context.network("tone", protocol),  # type: ignore[arg-type]
        seed=context.seed,
    )
    run = f"detailer-{protocol}"
    start = fingerprint(*(net for net in stage.chain if net is not None))
    settings = {"detail": dataclasses.asdict(config), "data": data.manifest["spec"], "start": start}
    settings["precision"] = context.profile.precision
    fit(stage, config.images, context.runs / run, settings=settings, precision=context.profile.precision, **context.options)
    extra = {"protocol": protocol}
    context.keep(stage.average.cpu(), "detailer", context.detailed, {}, run=run, extra=extra, protocol=protocol)


SHARED: dict[str, Callable[[Context], None]] = {
    "identity": train_identity_networks,
    "phone": train_phone,
    "codes": train_codes,
    "exemplars": choose_exemplars,
}
BY_PROTOCOL: dict[str, Callable[[Context, str], None]] = {"adapt": train_adapt, "tone": train_tone, "detail": train_detail}


def evaluate_chain(
    profile: Profile,
    runs: str | Path,
    pipe: StudioPipeline | None = None,
    *,
    split: str = "test",
    subjects: int | None = None,
    config: DataConfig | None = None,
    seed: int = 0,
    progress: bool = True,
) -> EvaluationTable:
    """Chain against the simple rivals, on subjects of one split of ``config``.

    Args:
        pipe: the chain, on the device to measure on; default the released weights on the CPU.
        split: "test" for what is reported; "val" for choosing settings, without KID, which needs other people's textures.
        subjects: how many of the split, default all.
        config: the data to measure on, default the profile's own; its textures are made in the size that the
            detailer was trained at: what is finer would be the phone's, whoever is judged.
        seed: of the diffusion noise and of KID's subsets.
    """
    from .evaluation import StudioReference, bound, evaluate
    from .pipeline import StudioPipeline

    pipe = pipe or StudioPipeline.released()
    size = pipe.detailer.config.resolution
    config = dataclasses.replace(config or profile.data, detail_resolution=size)
    data = make_set(config, Path(runs) / "data", detailed=True, test=True, progress=progress)
    rows = data.captures(split)
    if subjects:
        people = data.subjects(split)[:subjects]
        rows = rows[torch.isin(torch.as_tensor(data.subject)[rows], people)]

    def chain(texture: Tensor, visibility: Tensor) -> Tensor:
        return pipe(texture, visibility, resolution=size, seed=seed).texture  # as `convert` does it

    return evaluate(
        bound(StudioReference.from_set(data)) | {"chain": chain},
        data,
        rows,
        eval_net=weights.load("identity_eval"),
        reference_subjects=None if split == "test" else torch.zeros(0, dtype=torch.long),
        batch=16,
        device=pipe.device,
        seed=seed,
        progress=progress,
    )
