"""The code bank: the whole phone pre-training set as w+ codes, the material few-shot adaptation samples from.

The paper fine-tunes on samples "in the W+ parameterised space"; we read that as the inverted phone captures
and convex mixtures of a few of them. A bank is one safetensors file; while it is built, finished chunks lie
beside it in ``<name>.parts/``, so an interrupted build goes on where it stopped and several processes can
share the work.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..config import InversionConfig
from ..errors import InputError, WeightsError
from ..io import atomic
from ..stylegan2.encoder import encode
from .distance import resize_observed, trunk_of
from .optimise import invert
from .prior import WPrior

MIXED = 3  # codes in a mixture at most


class BankSample(NamedTuple):
    """Codes drawn from a bank: ``w_plus (n, L, D)`` = Σ_k ``weights[:, k]`` · codes[``index[:, k]``].

    ``index (n, K)`` are positions in the bank, ``rows (n, K)`` the capture rows of the data set they came
    from; unused places of a mixture have weight 0.
    """

    w_plus: Tensor
    index: Tensor  # type: ignore[assignment]  # a tuple's method, never asked of codes
    rows: Tensor
    weights: Tensor


@dataclass(frozen=True)
class CodeBank:
    """Codes of inverted captures.

    Attributes:
        w_plus: float32 ``(N, L, D)``.
        rows: int64 ``(N,)`` capture rows in the texture set.
        psnr: float32 ``(N,)`` dB in the observed region.
        meta: strings that tell how the bank was made (settings, space, fingerprint).
    """

    w_plus: Tensor
    rows: Tensor
    psnr: Tensor
    meta: dict[str, str]

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, n: int, rng: torch.Generator, mixtures: bool = True, share: float = 0.5) -> BankSample:
        """Draw ``n`` codes: captures as they are, and a ``share`` of convex mixtures of 2 or 3 of them.

        Mixture weights are uniform on the simplex (Dirichlet with all ones). ``rng`` is a CPU generator.
        """
        index = torch.randint(len(self), (n, MIXED), generator=rng)
        # −log of uniform draws is exponential; normalised exponentials are Dirichlet(1, …, 1)
        weights = -torch.rand(n, MIXED, generator=rng).clamp_min(1e-12).log()
        parts = torch.randint(2, MIXED + 1, (n, 1), generator=rng)
        mixed = torch.rand(n, 1, generator=rng) < (share if mixtures else 0.0)
        used = torch.arange(MIXED)[None] < torch.where(mixed, parts, torch.ones_like(parts))
        weights = weights * used
        weights = weights / weights.sum(1, keepdim=True)
        w_plus = torch.einsum("nk,nkld->nld", weights.to(self.w_plus), self.w_plus[index])
        return BankSample(w_plus, index, self.rows[index], weights)

    def codes(self, rows: Tensor) -> Tensor:
        """Codes ``(M, L, D)`` of given capture rows. Raises ``InputError`` for a row the bank does not hold."""
        place = {int(row): i for i, row in enumerate(self.rows)}
        missing = [int(row) for row in rows if int(row) not in place]
        if missing:
            raise InputError(f"the bank holds no code for capture row {missing[0]}: build it over those rows")
        return self.w_plus[torch.tensor([place[int(row)] for row in rows], dtype=torch.long)]

    def prior(self) -> WPrior:
        """The Gaussian of these codes, for inversions that shall stay near them."""
        return WPrior.from_codes(self.w_plus)

    def save(self, path: str | Path) -> Path:
        """Write one safetensors file, atomically."""
        path = Path(path)
        _write({"w_plus": self.w_plus, "rows": self.rows, "psnr": self.psnr}, path, self.meta)
        return path

    @classmethod
    def open(cls, path: str | Path) -> CodeBank:
        """Read a bank. Raises ``InputError`` if there is none, ``WeightsError`` if the file is damaged."""
        tensors, meta = _read(Path(path))
        try:
            return cls(tensors["w_plus"].float(), tensors["rows"], tensors["psnr"], meta)
        except KeyError as error:
            raise WeightsError(f"{path} is no code bank ({error.args[0]} is missing): build it again") from error


def build_bank(
    generator: nn.Module,
    data: Any,
    rows: Tensor,
    config: InversionConfig | None,
    path: str | Path,
    *,
    feature_net: Any = None,
    encoder: nn.Module | None = None,
    curvature: nn.Module | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> CodeBank:
    """Invert captures ``rows`` of a texture set, ``config.batch`` together; resumable, and finished work is never redone.

    Args:
        data: anything with ``phone_batch(rows, device) -> (texture, visibility)``; resampled if it is larger
            than the generator's pictures.
        encoder: gives the codes that the optimisation starts from; None starts at the mean.
        curvature: of this generator, for quasi-Newton steps; None takes Adam's.
        path: the safetensors file to write. If it exists and was built with the same settings, it is opened
            instead.
        overwrite: throw away a bank or parts built with other settings, instead of refusing.
    Raises:
        InputError: ``path`` holds a bank built with another generator, other rows or settings, and not
            ``overwrite``.
    """
    config, path, rows = config or InversionConfig(), Path(path), torch.as_tensor(rows, dtype=torch.long).cpu()
    if not len(rows):
        raise InputError("no captures to invert: the list of rows is empty")
    networks = [generator, encoder, curvature, feature_net, *trunk_of(feature_net)[1:]]
    key = fingerprint(*networks, rows, asdict(config))
    if path.exists():
        bank = CodeBank.open(path)
        if bank.meta.get("fingerprint") == key:
            return bank
        if not overwrite:
            raise InputError(f"{path} was built with another generator, rows or settings: remove it or name another file")
    parts = path.with_suffix(".parts")
    chunks = list(rows.split(config.batch))
    names = [parts / f"{number:06d}.safetensors" for number in range(len(chunks))]
    # parts of another build (or damaged ones) are worthless: they are computed again
    todo = [i for i in range(len(chunks)) if _part(names[i], key) is None]
    bar = tqdm(total=len(chunks), initial=len(chunks) - len(todo), desc="code bank", unit="chunk", disable=not progress)
    with bar:
        for i in todo:
            texture, visibility = data.phone_batch(chunks[i], generator.w_mean.device)
            texture, visibility = resize_observed(texture, visibility, generator.config.resolution)
            start = None if encoder is None else encode(encoder, generator, texture, visibility)
            result = invert(
                generator,
                texture,
                visibility,
                config,
                feature_net=feature_net,
                start=start,
                curvature=curvature,
            )
            _write({"w_plus": result.w_plus, "psnr": result.psnr_observed}, names[i], {"fingerprint": key})
            bar.set_postfix(dB=f"{result.psnr_observed.nanmean().item():.1f}")
            bar.update()
    found = [_read(name)[0] for name in names]
    meta = {"fingerprint": key, "space": config.space, "config": json.dumps(asdict(config))}
    bank = CodeBank(torch.cat([p["w_plus"] for p in found]), rows, torch.cat([p["psnr"] for p in found]), meta)
    bank.save(path)
    shutil.rmtree(parts, ignore_errors=True)
    return bank


def _part(path: Path, key: str) -> dict[str, Tensor] | None:
    try:
        tensors, meta = _read(path)
    except (InputError, WeightsError):
        return None
    return tensors if meta.get("fingerprint") == key else None


def _write(tensors: dict[str, Tensor], path: Path, meta: dict[str, str]) -> None:
    with atomic(path) as temporary:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary, meta)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise InputError(f"no code bank at {path}: build it with build_bank")
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged: remove it and build the bank again") from error


def fingerprint(*things: Any) -> str:
    """Hash of what a result depends on: networks (their weights), tensors, None, and anything `json` can write."""
    digest = hashlib.sha256()
    for thing in things:
        if isinstance(thing, nn.Module):
            digest.update(type(thing).__qualname__.encode())
            for tensor in thing.state_dict().values():
                digest.update(_bytes(tensor))
        elif isinstance(thing, Tensor):
            digest.update(_bytes(thing))
        elif thing is None or isinstance(thing, dict | list | str | int | float):
            digest.update(json.dumps(thing, sort_keys=True).encode())
        else:  # a callable distance: its name is all we can know
            digest.update(getattr(thing, "__qualname__", type(thing).__qualname__).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
