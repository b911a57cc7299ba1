"""What the experiments share: data, released networks, codes that are made once, and the measures.

Trainings stand under the protocol ``few`` and read the set through `protocols.permitted`; everything is judged on people of
the split "val", in captures that the set holds or in freshly made ones under lights of their own. The split "test" is not
in these sets: it belongs to the final evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import weights
from ..adaptation import EncodedCaptures
from ..config import Profile
from ..device import find_device, keep_memory
from ..errors import InputError
from ..evaluation import (
    PooledFeatures,
    asymmetry,
    colour_error,
    faceid,
    gain_fitted,
    kid,
    low_band_error,
    perceptual,
    perceptual_judge,
    psnr,
    tone_gap,
    variance_ratio,
)
from ..image import resize
from ..layout import region_mask
from ..protocols import permitted, studio_subjects
from ..stylegan2 import encode
from ..synth import SetSpec, TextureSet, write_set
from .core import Outcome

FRESH_LIGHTS = 24  # lights that the fresh captures of a person are made under; the first are those of the large set
KID_REFERENCE = 160  # people of the pre-training split; under "few" no training has seen their studio textures


class Lab:
    """Materials of the experiments under one profile; everything is made when it is first asked for.

    Args:
        profile: its sizes. runs: folder whose ``data`` holds the sets. device: None is a GPU where there is one.
    """

    def __init__(self, profile: Profile, runs: str | Path, device: str | None = None):
        self.profile, self.runs = profile, Path(runs)
        self.device = find_device(device) if device else torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._networks: dict[tuple[str, str], nn.Module] = {}
        self._fresh: dict[int, TextureSet] = {}
        if self.device.type == "cpu":
            keep_memory()

    # --------------------------------------------------------------------------------------------------- data

    @cached_property
    def data(self) -> TextureSet:
        """The set that stage 3 reads; it has no split "test"."""
        from ..recipes import make_set

        return make_set(self.profile.data, self.runs / "data", device=str(self.device))

    @cached_property
    def few(self) -> TextureSet:
        """The same, as the protocol ``few`` may read it; the studio textures of "val" are open for watching."""
        return permitted(self.data, "few", watch=True)

    @cached_property
    def studio(self) -> Tensor:
        """Studio textures of the few-shot set ``(S, 3, H, W)``, uint8, the people with pairs last."""
        return torch.as_tensor(self.few.studio[studio_subjects(self.few, "few").numpy()])

    def fresh(self, resolution: int) -> TextureSet:
        """The people of "val", each under `FRESH_LIGHTS` lights, made at this resolution."""
        if resolution not in self._fresh:
            spec = SetSpec(
                first_seed=self.profile.data.first_seed,
                resolution=resolution,
                phone_subjects=0,
                studio_subjects=0,
                pair_subjects=0,
                val_subjects=self.profile.data.val_subjects,
                test_subjects=0,
                lightings=FRESH_LIGHTS,
            )
            path = self.runs / "data" / f"fresh-{resolution}-{spec.digest()[:10]}"
            self._fresh[resolution] = write_set(spec, path, device=str(self.device))
        return self._fresh[resolution]

    def lights(self, data: TextureSet, seed: int, count: int) -> Tensor:
        """Capture rows ``(people · count,)`` of a fresh set, person by person: other lights for every seed.

        Raises:
            InputError: more seeds than the set has lights for.
        """
        per_person = data.captures("val").view(-1, FRESH_LIGHTS)
        if (seed + 1) * count > FRESH_LIGHTS:
            raise InputError(f"the fresh captures have lights for {FRESH_LIGHTS // count} seeds, not for seed {seed}")
        return per_person[:, seed * count : (seed + 1) * count].flatten()

    # ----------------------------------------------------------------------------------------------- networks

    def network(self, name: str, protocol: str = "few") -> nn.Module:
        """A released network on the lab's device."""
        if (name, protocol) not in self._networks:
            self._networks[name, protocol] = weights.load(name, protocol=protocol, device=self.device)
        return self._networks[name, protocol]

    @torch.no_grad()
    def encode(self, texture: Tensor, visibility: Tensor) -> Tensor:
        """The encoder's codes ``(B, L, D)``, as the chain takes them."""
        parts = zip(texture.split(16), visibility.split(16), strict=True)
        networks = self.network("encoder"), self.network("g_phone")
        return torch.cat([encode(*networks, t.to(self.device), v.to(self.device)) for t, v in parts])

    def stored(self, rows: Tensor, versions: int, seed: int = 0) -> StoredCaptures:
        """Disturbed captures with their codes made once, each in some versions; kept for later experiments of this lab."""
        captures = EncodedCaptures(
            self.few, rows, self.network("encoder"), self.network("g_phone"), share=self.profile.adapt.disturbed
        )
        return StoredCaptures(captures, versions, seed)

    # ------------------------------------------------------------------------------------------------- judging

    @cached_property
    def judged_rows(self) -> Tensor:
        """Two captures of every person of "val", in the large set."""
        return self.data.captures("val").view(-1, self.profile.data.lightings)[:, :2].flatten()

    @cached_property
    def judged_codes(self) -> Tensor:
        """The encoder's codes of `judged_rows`."""
        return self.encode(*self.data.phone_batch(self.judged_rows))

    @cached_property
    def _reference(self) -> Tensor:
        """Features of studio textures that no training of the protocol ``few`` has read, for KID."""
        people = self.data.subjects("phone")[:KID_REFERENCE]
        return torch.cat([self._features(self.data.studio_batch(part, self.device)).cpu() for part in people.split(16)])

    @cached_property
    def _features(self) -> PooledFeatures:
        return PooledFeatures(perceptual_judge(str(self.device)).trunk[0])

    @torch.no_grad()
    def judge(
        self, outputs: Tensor, data: TextureSet | None = None, rows: Tensor | None = None, also: Sequence[str] = ("kid",)
    ) -> Outcome:
        """Measure textures against the true studio textures.

        Args:
            outputs: ``(N, 3, H, W)`` in [0, 1], one for each capture, of the set's resolution or another.
            data, rows: whose captures these are; default `data` and `judged_rows`.
            also: "kid", at the large set's resolution; "perceptual", on the face and in the holes, which takes time.
        """
        data, rows = data or self.data, self.judged_rows if rows is None else rows
        subject, size = torch.as_tensor(data.subject)[rows], data.resolution
        eval_net, judge = self.network("identity_eval"), perceptual_judge(str(self.device))
        columns: dict[str, list[Tensor]] = {}
        small: dict[str, list[Tensor]] = {"out": [], "in": [], "seen": []}
        features = []
        for part in torch.arange(len(rows)).split(8):  # small pieces stay in the processor's cache
            texture, seen = data.phone_batch(rows[part], self.device)
            truth = data.studio_batch(subject[part], self.device)
            output = resize(outputs[part].to(texture), size).clamp(0, 1)
            face = region_mask("face", size).to(seen).expand_as(seen)
            low = low_band_error(output, truth, seen)
            identity = faceid(eval_net, output, truth)
            measured = {
                "psnr/observed": psnr(output, truth, seen),
                "psnr_fitted/observed": psnr(gain_fitted(output, truth, seen), truth, seen),
                "psnr/holes": psnr(output, truth, 1 - seen),
                "low_band": low["total"],
                "low_band_luminance": low["luminance"],
                "low_band_chroma": low["chroma"],
                "faceid_mse": identity["mse"],
                "faceid_cosine": identity["cosine"],
                "colour": colour_error(output, truth, face),
                "asymmetry": asymmetry(output, face * seen),
            }
            if "perceptual" in also:
                described = judge.describe(truth)
                for name, mask in {"observed": seen, "face": face, "holes": 1 - seen}.items():
                    measured[f"perceptual/{name}"] = perceptual(judge, output, truth, mask, described)
            if "kid" in also:
                features.append(self._features(resize(output, self.data.resolution)).cpu())
            for name, value in measured.items():
                columns.setdefault(name, []).append(value.cpu())
            for name, picture in {"out": output, "in": texture, "seen": seen * face}.items():
                small[name].append(resize(picture, min(size, 64)).cpu())  # light is low-frequency
        people = subject.unique()
        values = {name: per_person(torch.cat(column), subject, people) for name, column in columns.items()}
        if len(rows) > len(people):
            ratio = variance_ratio(torch.cat(small["out"]), torch.cat(small["in"]), subject, torch.cat(small["seen"]))[0]
            values["variance_ratio"] = ratio.numpy()
        tones = torch.as_tensor(data.tone)[people]
        group = torch.bucketize(tones, torch.quantile(tones.float(), torch.tensor([1 / 3, 2 / 3])).to(tones))
        scalars = {"tone_gap": tone_gap(torch.from_numpy(values["colour"]), group)[1]}
        if features:
            scalars["kid"] = kid(nn.Identity(), torch.cat(features), self._reference).mean
        return Outcome(torch.as_tensor(data.seeds)[people].numpy(), values, scalars)


class StoredCaptures(EncodedCaptures):
    """Disturbed captures whose codes are made once: the encoder takes a third of a short run's time otherwise.

    Every capture is kept in ``versions`` disturbances; a draw takes one of them.
    """

    def __init__(self, captures: EncodedCaptures, versions: int, seed: int):
        super().__init__(
            captures.data, captures.rows, captures.encoder, captures.generator, captures.passes, share=captures.share
        )
        rng = torch.Generator().manual_seed(seed)
        made = [torch.cat([captures.codes(part, rng).cpu() for part in self.rows.split(16)]) for _ in range(versions)]
        self.store = torch.stack(made, 1)  # (rows, versions, L, D)
        self.place = {int(row): k for k, row in enumerate(self.rows)}

    def among(self, people: Tensor) -> StoredCaptures:
        """The same codes, of some people only."""
        chosen = torch.isin(torch.as_tensor(self.data.subject)[self.rows], people)
        part = object.__new__(StoredCaptures)
        EncodedCaptures.__init__(part, self.data, self.rows[chosen], self.encoder, self.generator, self.passes, share=self.share)
        part.store, part.place = self.store, self.place
        return part

    def codes(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Codes ``(n, L, D)`` of captures, each in a version that ``rng`` chooses."""
        version = torch.randint(self.store.shape[1], (len(rows),), generator=rng)
        place = torch.tensor([self.place[int(row)] for row in rows])
        return self.store[place, version].to(self.generator.w_mean.device)


def per_person(values: Tensor, subject: Tensor, people: Tensor) -> np.ndarray:
    """Mean over each person's captures ``(N,)`` → ``(people,)``; nan where there was nothing to measure."""
    return np.array([values[subject == k].nanmean().item() for k in people])
