"""What the experiments share: data, released networks, codes that are made once, and the measures.

Trainings stand under the protocol ``few`` and read the set through `protocols.permitted`; everything is judged on people of
the split "val", in captures that the set holds or in freshly made ones under lights of their own. The split "test" is not
in these sets: it belongs to the final evaluation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import evaluation, weights
from ..adaptation import EncodedCaptures
from ..config import Profile
from ..device import find_device, keep_memory
from ..image import resize
from ..inversion.bank import fingerprint
from ..inversion.distance import resize_observed
from ..layout import region_mask
from ..protocols import permitted
from ..synth import SetSpec, TextureSet, write_set
from .core import SEEDS, Outcome
from .painting import BATCH, codes_of

JUDGES = ("identity_eval", "perceptual_judge")  # networks that `Lab.judge` measures with
KID_REFERENCE = 160  # people of the pre-training split; under "few" no training has seen their studio textures


class Lab:
    """Materials of the experiments under one profile; everything is made when it is first asked for.

    Args:
        profile: its sizes. runs: folder whose ``data`` holds the sets. device: None is a GPU where there is one.
    """

    def __init__(self, profile: Profile, runs: str | Path, device: str | None = None):
        self.profile, self.runs = profile, Path(runs)
        self.device = find_device(device)
        self._networks: dict[tuple[str, str], nn.Module] = {}
        self._fresh: dict[SetSpec, TextureSet] = {}
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

    @property
    def val_seeds(self) -> Tensor:
        """Seeds of the people of "val"; they are known without making a set."""
        return self._val_alone.seeds()

    @property
    def _val_alone(self) -> SetSpec:
        """A set of the people of "val" and nobody else."""
        data = self.profile.data
        return SetSpec(
            first_seed=data.first_seed,
            phone_subjects=0,
            studio_subjects=0,
            pair_subjects=0,
            val_subjects=data.val_subjects,
            test_subjects=0,
        )

    def fresh(self, resolution: int, seed: int, lights: int) -> tuple[TextureSet, Tensor]:
        """The people of "val" in captures made for the laboratory: each under ``lights`` lights, other ones for every seed.

        Returns:
            the set, and its capture rows of this seed, ``(people · lights,)``, person by person.
        """
        blocks = max(SEEDS, seed + 1)
        spec = replace(self._val_alone, resolution=resolution, lightings=blocks * lights)
        if spec not in self._fresh:
            path = self.runs / "data" / f"fresh-{resolution}-{spec.digest()[:10]}"
            self._fresh[spec] = write_set(spec, path, device=str(self.device), progress=False)
        data = self._fresh[spec]
        return data, data.captures("val").view(-1, spec.lightings)[:, seed * lights : (seed + 1) * lights].flatten()

    # ----------------------------------------------------------------------------------------------- networks

    def network(self, name: str, protocol: str = "few") -> nn.Module:
        """A released network on the lab's device."""
        if (name, protocol) not in self._networks:
            self._networks[name, protocol] = weights.load(name, protocol=protocol, device=self.device)
        return self._networks[name, protocol]

    def captures(self, rows: Tensor, versions: int, share: float) -> EncodedCaptures:
        """Captures to draw codes from; ``versions`` disturbances of each are encoded once, or read from ``runs/experiments``."""
        made = EncodedCaptures(self.few, rows, self.network("encoder"), self.network("g_phone"), share=share)
        facts = json.dumps([self.few.manifest, made.rows.tolist(), versions, share, fingerprint(made.encoder, made.generator)])
        name = hashlib.sha256(facts.encode()).hexdigest()[:12]
        made.keep(versions, self.runs / "experiments" / f"codes-{name}.safetensors")
        return made

    # ------------------------------------------------------------------------------------------------- judging

    @cached_property
    def judged_rows(self) -> Tensor:
        """Two captures of every person of "val", in the large set."""
        return self.data.captures("val").view(-1, self.profile.data.lightings)[:, :2].flatten()

    @cached_property
    def judged_codes(self) -> Tensor:
        """The encoder's codes ``(N, L, D)`` of all that was seen in `judged_rows`."""
        encoder = self.network("encoder")
        observed = resize_observed(*self.data.phone_batch(self.judged_rows), encoder.config.resolution)
        return codes_of(encoder, self.network("g_phone"), *observed, batch=BATCH)

    @cached_property
    def _reference(self) -> Tensor:
        """Features of studio textures that no training of the protocol ``few`` has read, for KID."""
        people = self.data.subjects("phone")[:KID_REFERENCE]
        return torch.cat([self._features(self.data.studio_batch(part, self.device)).cpu() for part in people.split(16)])

    @cached_property
    def _features(self) -> evaluation.PooledFeatures:
        return evaluation.PooledFeatures(evaluation.perceptual_judge(str(self.device)).trunk[0])

    @torch.no_grad()
    def identities(self, outputs: Tensor) -> Tensor:
        """Unit identity embeddings ``(N, E)`` of textures by the network that no loss has seen, on the CPU."""
        net = self.network("identity_eval")
        return torch.cat([net.embed(part.to(self.device).clamp(0, 1)).cpu() for part in outputs.split(16)])

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
        eval_net, judge = self.network("identity_eval"), evaluation.perceptual_judge(str(self.device))
        columns: dict[str, list[Tensor]] = {}
        small: dict[str, list[Tensor]] = {"out": [], "in": [], "seen": []}
        features = []
        for part in torch.arange(len(rows)).split(8):  # small pieces stay in the processor's cache
            texture, seen = data.phone_batch(rows[part], self.device)
            truth = data.studio_batch(subject[part], self.device)
            output = resize(outputs[part].to(texture), size).clamp(0, 1)
            face = region_mask("face", size).to(seen).expand_as(seen)
            identity = evaluation.faceid(eval_net, output, truth)
            measured = {
                "psnr/observed": evaluation.psnr(output, truth, seen),
                "psnr_fitted/observed": evaluation.psnr(evaluation.gain_fitted(output, truth, seen), truth, seen),
                "psnr/holes": evaluation.psnr(output, truth, 1 - seen),
                **evaluation.low_band_error(output, truth, seen),
                "faceid_mse": identity["mse"],
                "faceid_cosine": identity["cosine"],
                "colour": evaluation.colour_error(output, truth, face),
                "asymmetry": evaluation.asymmetry(output, face * seen),
            }
            if "perceptual" in also:
                described = judge.describe(truth)
                for name, mask in {"face": face, "holes": 1 - seen}.items():
                    measured[f"perceptual/{name}"] = evaluation.perceptual(judge, output, truth, mask, described)
            if "kid" in also:
                features.append(self._features(resize(output, self.data.resolution)).cpu())
            for name, value in measured.items():
                columns.setdefault(name, []).append(value.cpu())
            for name, picture in {"out": output, "in": texture, "seen": seen * face}.items():
                small[name].append(resize(picture, min(size, 64)).cpu())  # light is low-frequency
        people = subject.unique()
        values = {name: per_person(torch.cat(column), subject, people) for name, column in columns.items()}
        if len(rows) > len(people):
            output, phone, seen = (torch.cat(parts) for parts in small.values())
            values["variance_ratio"] = evaluation.variance_ratio(output, phone, subject, seen)[0].numpy()
        tones = torch.as_tensor(data.tone)[people]
        group = torch.bucketize(tones, torch.quantile(tones.float(), torch.tensor([1 / 3, 2 / 3])).to(tones))
        scalars = {"tone_gap": evaluation.tone_gap(torch.from_numpy(values["colour"]), group)}
        if features:
            scalars["kid"] = evaluation.kid(nn.Identity(), torch.cat(features), self._reference).mean
        return Outcome(torch.as_tensor(data.seeds)[people].numpy(), values, scalars)


def per_person(values: Tensor, subject: Tensor, people: Tensor) -> np.ndarray:
    """Mean over each person's captures ``(N,)`` → ``(people,)``; nan where there was nothing to measure."""
    return np.array([values[subject == k].nanmean().item() for k in people])
