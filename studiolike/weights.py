"""The released weights: small, in half precision or 8 bits, each with a card, loaded by name.

They are package data (`studiolike/weights/<name>/`), laid out as `save_pretrained` writes them; the environment
variable STUDIOLIKE_WEIGHTS names another folder, for weights you trained yourself with ``make weights``. Networks that
have learnt from studio textures exist twice, in `few/` and `open/`: see `protocols`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import OutputError, ProtocolError, StudioError, WeightsError
from .json_files import read_json
from .protocols import PROTOCOLS, check

if TYPE_CHECKING:  # what only looks for files must not wait for torch
    import torch
    from torch import Tensor, nn

# name → where its class lives and what it is
NETWORKS: dict[str, tuple[str, str, str]] = {
    "g_phone": ("studiolike.stylegan2", "Generator", "StyleGAN2 generator of phone textures (stage 1)"),
    "d_phone": ("studiolike.stylegan2", "Discriminator", "its discriminator; its features measure perceptual distance"),
    "encoder": ("studiolike.stylegan2", "Encoder", "encoder that learnt beside G_phone: phone texture to w+"),
    "curvature": ("studiolike.inversion", "Curvature", "how strongly G_phone's pictures answer to w+: inversion in few steps"),
    "g_studio": ("studiolike.stylegan2", "Generator", "G_phone after few-shot studio fine-tuning (stage 3)"),
    "tone": ("studiolike.tone", "ToneNet", "reads how light somebody's skin is, which the camera's metering hides (stage 3)"),
    "detailer": ("studiolike.detail", "Detailer", "gradient-guided diffusion detailer (stage 4)"),
    "identity": ("studiolike.features", "IdentityNet", "identity network that serves the losses"),
    "identity_eval": ("studiolike.features", "IdentityNet", "identity network no loss ever sees, for evaluation"),
}
# networks of others, which measure or find faces; they lie in the package and nowhere else
FOREIGN: dict[str, tuple[str, str, str]] = {
    "perceptual_judge": ("studiolike.evaluation.lite", "EfficientNetLite", "EfficientNet-Lite0, stem and blocks 0 to 10"),
    "face_judge": ("studiolike.evaluation.face_net", "FaceNet", "dlib's face-identity ResNet, 8 bit"),
    "face_detector": ("studiolike.capture.face_networks", "FaceDetector", "MediaPipe's short-range face detector"),
    "face_mesh": ("studiolike.capture.face_networks", "FaceMesh", "MediaPipe's attention mesh, 468 landmarks"),
    "person_mask": ("studiolike.capture.person_network", "PersonMask", "MediaPipe's selfie segmentation: person or background"),
}
FILE = "diffusion_pytorch_model.safetensors"
PER_PROTOCOL = ("g_studio", "tone", "detailer")  # learnt from studio textures: one of each for every protocol
CODED = ("detailer",)  # stored in 8 bits: what no other network stands on
CHAIN = ("g_phone", "encoder", "curvature", "g_studio", "tone", "detailer")  # what a phone texture goes through, or starts from
NEEDED = ("g_phone", "encoder", "g_studio")  # of the chain, without which there is none
INDEX = "model_index.json"  # of a folder that `StudioPipeline.save_pretrained` wrote
PACKAGED = Path(__file__).parent / "weights"


def weights_dir() -> Path:
    """Folder of the released weights: $STUDIOLIKE_WEIGHTS, or the package's own."""
    return Path(os.environ.get("STUDIOLIKE_WEIGHTS") or PACKAGED)


def network_class(name: str) -> type[nn.Module]:
    """Class of a released network. Raises `WeightsError` for an unknown name."""
    known = NETWORKS | FOREIGN
    if name not in known:
        raise WeightsError(f"no released network is called '{name}'; there are {', '.join(known)}")
    module, cls, _ = known[name]
    return getattr(import_module(module), cls)


def folder_of(name: str, protocol: str = "open", root: Path | None = None) -> Path:
    """Folder of a network: ``root/name``, or ``root/protocol/name`` for those of `PER_PROTOCOL`; others' are the package's.

    Args:
        protocol: "few" or "open". root: default `weights_dir`.
    Raises:
        ProtocolError: unknown protocol.
    """
    check(protocol)
    root = Path(PACKAGED if name in FOREIGN else root or weights_dir())
    return root / protocol / name if name in PER_PROTOCOL else root / name


@dataclass(frozen=True)
class Choice:
    """The networks of a chain that a user's words name.

    Attributes:
        name: what to call them, without the way there: "released", or a folder's name.
        protocol: what those of `PER_PROTOCOL` were trained under, all alike; None: a folder of save_pretrained does not tell.
        root: folder with a folder per network; None: they are the released ones. own: which of `CHAIN` lie there; the others
            are the released ones of the same protocol.
    """

    name: str
    protocol: str | None
    root: Path | None = None
    own: frozenset[str] = frozenset()

    def root_of(self, name: str) -> Path | None:
        """Where a network lies, as `load` wants it."""
        return self.root if name in self.own else None


def choose(which: str | Path | None = None, protocol: str | None = None) -> Choice:
    """Find the networks that a user names; nothing is loaded.

    Args:
        which: None: the released weights. A protocol: those of that protocol. A folder of save_pretrained. A run of
            ``studiolike train``, its folder ``networks``, or a protocol's folder in that.
        protocol: of the networks of `PER_PROTOCOL`; default what ``which`` says; "open" goes before "few" where both are there.
    Raises:
        WeightsError: nothing of that kind is there. ProtocolError: unknown protocol, or ``which`` says another one.
    """
    if protocol is not None:
        check(protocol)
    said = None if which is None else Path(which).name
    if which is None or str(which) in PROTOCOLS:
        _agree(which, said, protocol)
        return Choice("released", said or protocol or "open")
    folder = Path(which)
    if (folder / INDEX).is_file():
        _check_index(folder)
        if protocol is not None:
            raise ProtocolError(f"'{which}' was written by save_pretrained, as one chain: leave the protocol out")
        return Choice(folder.resolve().name, None, folder, frozenset(CHAIN))
    if said in PROTOCOLS and any((folder / name / FILE).is_file() for name in PER_PROTOCOL):
        _agree(which, said, protocol)
        folder, protocol = folder.parent, said
    for root in (folder / "networks", folder):
        trained = {p: {name for name in CHAIN if (folder_of(name, p, root) / FILE).is_file()} for p in reversed(PROTOCOLS)}
        if not any(trained.values()):
            continue
        there = [p for p, names in trained.items() if names & set(PER_PROTOCOL)]
        if protocol is not None and there and protocol not in there:
            raise WeightsError(f"'{which}' has no networks of protocol {protocol}: it has those of {there[0]}")
        chosen = protocol or (there or ["open"])[0]
        place = root.resolve()
        return Choice((place.parent if place.name == "networks" else place).name, chosen, root, frozenset(trained[chosen]))
    raise WeightsError(
        f"no weights in '{which}': name a folder with {INDEX} (written by save_pretrained), a run of "
        f"studiolike train, or one of {', '.join(PROTOCOLS)}"
    )


def _check_index(folder: Path) -> None:
    """Raise `WeightsError` where the index of a folder of save_pretrained, or a network that it names, is missing or damaged."""
    anew = "write the folder again with save_pretrained"
    index = _facts(folder / INDEX, anew)
    absent = [name for name in NEEDED if not index.get(name)]
    if absent:
        raise WeightsError(f"{folder / INDEX} names no {', '.join(absent)}, which a chain needs: {anew}")
    if "_class_name" not in index:
        raise WeightsError(f"{folder / INDEX} does not say whose it is (_class_name is missing): {anew}")
    for name in CHAIN:
        if index.get(name) not in (None, [None, None]) and not (folder / name / FILE).is_file():
            raise WeightsError(f"no {folder / name / FILE}, which {INDEX} names: {anew}")


def _agree(which: str | Path | None, said: str | None, protocol: str | None) -> None:
    """Raise `ProtocolError` where two protocols are named."""
    if said is not None and protocol not in (None, said):
        raise ProtocolError(f"'{which}' is of protocol {said}, and protocol {protocol} is asked for: leave one of them out")


def load(
    name: str,
    *,
    protocol: str = "open",
    root: Path | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """Load a released network in evaluation mode.

    Args:
        name: a key of `NETWORKS` or `FOREIGN`.
        protocol: which of the two, for the networks of `PER_PROTOCOL`; "open" is what the tools use, "few" what the
            chapters ask about.
        root: folder that holds one folder per network; default `weights_dir`. Networks of others always
            come from the package.
    Raises:
        WeightsError: unknown name, missing or damaged file, weights of another network or that are no finite numbers.
    """
    import torch
    from safetensors.torch import load_file
    from torch import nn

    from .quantised import decoded

    cls = network_class(name)
    folder = folder_of(name, protocol, root)
    if not (folder / FILE).is_file():
        raise WeightsError(f"no weights in {folder}: run  make weights  or reinstall the package")
    verify(folder)
    try:
        # not `from_pretrained`, which asks for all that diffusers has for offloading, and so for torch's compiler: 3 s
        model = cls.from_config(cls.load_config(str(folder)))
        model.load_state_dict(decoded(load_file(folder / FILE)))
    except Exception as error:  # diffusers, safetensors and torch raise many kinds
        raise WeightsError(f"cannot load {folder / FILE}: {str(error).splitlines()[0]}; reinstall the package") from error
    refuse_damaged(model, folder / FILE)
    return nn.Module.to(model, device, dtype or torch.float32).eval()  # diffusers' own `to` asks for them too


def refuse_damaged(model: nn.Module, where: str | Path) -> None:
    """Raise `WeightsError` where a weight is no finite number: what is computed with it is nothing, and may look like black."""
    import torch

    name = next((name for name, weight in model.state_dict().items() if not torch.isfinite(weight).all()), None)
    if name is not None:
        raise WeightsError(f"{where} has weights that are no finite numbers ({name}): train it again or reinstall the package")


def verify(folder: Path) -> None:
    """Compare a weight file with the SHA-256 on its card, if it has one. Raises `WeightsError` on a mismatch."""
    card = folder / "card.json"
    if not card.is_file():
        return
    try:
        expected = read_json(card)["sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{card} is damaged: reinstall the package") from error
    if hashlib.sha256((folder / FILE).read_bytes()).hexdigest() != expected:
        raise WeightsError(f"{folder / FILE} is damaged (its SHA-256 is not the card's): reinstall the package")


def read_card(name: str, root: Path | None = None, protocol: str = "open") -> dict[str, Any]:
    """The facts on a network's card: data, settings, seed, device, images, time, measured quality. Raises as `read_config`."""
    return _facts(folder_of(name, protocol, root) / "card.json")


def read_config(name: str, root: Path | None = None, protocol: str = "open") -> dict[str, Any]:
    """A network's configuration, without its weights. Raises `WeightsError` if there is none, or a damaged one."""
    return _facts(folder_of(name, protocol, root) / "config.json")


def _facts(path: Path, cure: str = "run  make weights  or reinstall the package") -> dict[str, Any]:
    """A file of JSON beside some weights. Raises `WeightsError` if it is missing or damaged."""
    if not path.is_file():
        raise WeightsError(f"no {path}: {cure}")
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged: {cure}") from error


def release(model: nn.Module, name: str, card: dict[str, Any], root: Path | None = None, protocol: str = "open") -> Path:
    """Write a network as safetensors with its card (``card.json`` and README.md), in half precision or, of `CODED`, in 8 bits;
    replaces the old one.

    Raises:
        OutputError: weights that half precision cannot hold.
    """
    import torch
    from safetensors.torch import save_file

    from .io import usual_permissions
    from .quantised import coded

    target = folder_of(name, protocol, root)
    target.parent.mkdir(parents=True, exist_ok=True)
    half = copy.deepcopy(model).cpu().half()
    if not all(torch.isfinite(t).all() for t in half.state_dict().values()):
        raise OutputError(f"{name} has weights that are not finite in half precision; it is not released")
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        half.save_pretrained(str(temporary), safe_serialization=True)
        if name in CODED:
            save_file(coded(model.state_dict()), temporary / FILE, {"format": "pt"})
        config = read_json(temporary / "config.json")
        config.pop("_name_or_path", None)  # a path of this machine is nobody's business
        (temporary / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        parameters = sum(p.numel() for p in model.parameters())
        facts = {
            "name": name,
            "what": NETWORKS[name][2],
            "parameters": parameters,
            **card,
            "sha256": hashlib.sha256((temporary / FILE).read_bytes()).hexdigest(),
        }
        (temporary / "card.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")
        (temporary / "README.md").write_text(_readme(facts))
        usual_permissions(temporary, *temporary.iterdir())
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def release_foreign(model: nn.Module, name: str) -> Path:
    """Write one of the `FOREIGN` into the package, as precise as it comes, with its SHA-256."""
    from .io import usual_permissions

    folder = PACKAGED / name
    model.save_pretrained(str(folder), safe_serialization=True)
    usual_permissions(folder / FILE)
    digest = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    facts = {"name": name, "what": FOREIGN[name][2], "origin": "see NOTICE", "sha256": digest}
    (folder / "card.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")
    return folder


STUDIO_MEAN = "studio_mean.png"


def studio_mean() -> Tensor:
    """Mean texture ``(1, 3, H, W)`` in [0, 1] of the few-shot studio set: what a simple rival may know.

    Raises:
        WeightsError: it is missing.
    """
    from .io import read_texture

    path = weights_dir() / STUDIO_MEAN
    if not path.is_file():
        raise WeightsError(f"no {path}: run  make weights  or reinstall the package")
    return read_texture(path)[None]


def write_studio_mean(mean: Tensor) -> None:
    """Release a mean studio texture ``(3, H, W)`` in [0, 1]."""
    from .io import write_image

    write_image(mean, weights_dir() / STUDIO_MEAN)


EXEMPLARS = "exemplars.webp"  # square pictures, one below the other


def exemplars() -> Tensor:
    """Studio textures of a few people of the few-shot set, ``(K, 3, H, H)`` uint8: see `detail.exemplars`.

    A folder of own weights without them takes the package's.

    Raises:
        WeightsError: they are missing or damaged.
    """
    own = weights_dir() / EXEMPLARS
    return _tiles(own if own.is_file() else PACKAGED / EXEMPLARS)


@lru_cache(2)
def _tiles(path: Path) -> Tensor:
    import torch

    from .io import read_image

    try:
        column = torch.from_numpy(read_image(path, None).copy())
        return column.view(-1, column.shape[1], column.shape[1], 3).permute(0, 3, 1, 2).contiguous()
    except (StudioError, RuntimeError) as error:
        raise WeightsError(f"cannot read {path}: run  make weights  or reinstall the package") from error


def write_exemplars(textures: Tensor, folder: Path | None = None) -> None:
    """Release exemplars, ``(K, 3, H, H)`` in [0, 1]; ``folder`` is by default `weights_dir`."""
    from PIL import Image

    from .io import atomic, to_bytes

    with atomic((folder or weights_dir()) / EXEMPLARS) as temporary:
        column = to_bytes(textures.transpose(0, 1).flatten(1, 2))
        Image.fromarray(column).save(temporary, "WEBP", quality=88, method=6)  # small beside the networks
    _tiles.cache_clear()


def _readme(facts: dict[str, Any]) -> str:
    rows = [
        f"| {key} | {_cell(value)} |"
        for key, value in facts.items()
        if key not in ("name", "what", "metrics", "settings", "sha256")
    ]
    quality = [f"| {key} | {value:.4g} |" for key, value in facts.get("metrics", {}).items()]
    settings = json.dumps(facts.get("settings", {}), indent=2, sort_keys=True, default=str)
    return "\n".join(
        [
            f"# {facts['name']}",
            "",
            f"{facts['what'][0].upper()}{facts['what'][1:]}.",
            "",
            "Trained on synthetic heads only: a declared stand-in for people, which shows that the method works where the",
            "truth is known. Not for identifying anyone, and not measured on real people beyond what the book shows.",
            "",
            "| fact | value |",
            "|---|---|",
            *rows,
            "",
            "## Measured",
            "",
            "| measure | value |",
            "|---|---|",
            *(quality or ["| – | – |"]),
            "",
            "## Settings",
            "",
            "```json",
            settings,
            "```",
            "",
        ]
    )


def _cell(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
