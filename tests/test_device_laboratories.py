"""The laboratories of the chapters on a GPU that is not there: what they compute meets on one device. See `imaginary`."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from imaginary import imagine, numbers
from test_device_lint import Blank, networks

from studiolike import weights
from studiolike.config import GeneratorConfig, profile
from studiolike.evaluation.lite import EfficientNetLite
from studiolike.experiments import detailing, domains, examination, few_shot, inversion, photograph, pretraining, samples
from studiolike.experiments.painting import decode
from studiolike.features.network import IdentityNet
from studiolike.inversion import CodeBank

SETTINGS = profile("smoke").sized(GeneratorConfig(32, 16, 2, 256, 16), 64)
SETTINGS = replace(SETTINGS, detail=replace(SETTINGS.detail, sample_steps=1))


class People(Blank):
    """As `Blank`, with all that a laboratory asks a set for, and on the CPU, as a set is; the split "test" is that of "val"."""

    def __init__(self, resolution: int):
        super().__init__(resolution)
        self.manifest = {"spec": {"lightings": 2}}
        self.subject = torch.as_tensor(self.subject)
        self.seeds, self.tone, self.severity = torch.arange(32), np.linspace(0, 1, 32), np.linspace(0, 1, 64)

    def captures(self, split: str) -> torch.Tensor:
        with numbers():
            return super().captures({"test": "val"}.get(split, split))

    def subjects(self, split: str) -> torch.Tensor:
        with numbers():
            return super().subjects({"test": "val"}.get(split, split))


@pytest.fixture(autouse=True)
def released(monkeypatch):
    """Released networks have no numbers, and go where they are asked to."""
    monkeypatch.setattr(IdentityNet, "_initialise", lambda self, seed: None)

    def load(name: str, *, protocol: str = "open", root=None, dtype=None, device="cpu"):
        side = SETTINGS.identity.resolution
        if name == "identity_eval":
            made = IdentityNet.named(name, resolution=side)
        else:
            made = EfficientNetLite() if name == "perceptual_judge" else getattr(networks(SETTINGS), name)
        return made.to(device).eval()

    monkeypatch.setattr(weights, "load", load)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    # counts people, whom tensors without numbers do not have
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "imaginary")
    evaluate = import_module("studiolike.evaluation.evaluate")  # not the function of that name
    monkeypatch.setattr(evaluate, "variance_ratio", lambda *_: (torch.zeros(16), torch.arange(16)))


def counted(monkeypatch, module, *names: str) -> None:
    """These functions of a module deal with rows of a set, which must have numbers."""

    def with_numbers(function):
        def call(*args, **kwargs):
            with numbers():
                return function(*args, **kwargs)

        return call

    for name in names:
        monkeypatch.setattr(module, name, with_numbers(getattr(module, name)))


def on_gpu(name: str, part) -> None:
    assert {p.device.type for p in part.parameters()} == {"cuda"}, name


def test_the_few_shot_laboratory_stays_on_its_device(monkeypatch):
    size = SETTINGS.generator
    counted(monkeypatch, few_shot, "paired_captures", "studio_subjects", "EncodedCaptures")
    with imagine("cuda"):
        with numbers():
            data = People(size.resolution)
        codes = torch.zeros(8, networks(SETTINGS).g_phone.num_ws, size.w_dim)
        monkeypatch.setattr(CodeBank, "open", lambda path: CodeBank(codes, torch.arange(8), torch.zeros(8), {}))
        lab = few_shot.FewShotLaboratory(SETTINGS, data, "cuda")
        for name in ("g_phone", "d_phone", "encoder", "identity", "judge"):
            on_gpu(name, getattr(lab, name))
        rows = data.captures("val")[:4]
        found = lab.codes_of(*data.phone_batch(rows))
        drawn = lab.translate(lab.g_phone, found)
        assert found.device.type == drawn.device.type == "cpu"
        lab.first_terms(lab.stage())
        lab.sources(found, draws=4)
        assert lab.measure(rows, {"as drawn": drawn}, rivals=True).values["as drawn"]["faceid_cosine"].shape == (4,)


def test_the_detailing_laboratory_stays_on_its_device(monkeypatch):
    counted(monkeypatch, detailing, "paired_captures")
    with imagine("cuda"):
        with numbers():
            data = People(SETTINGS.detail.resolution)
        lab = detailing.DetailLaboratory(SETTINGS, data, "cuda", captures=2)
        for name in ("g_phone", "encoder", "g_studio", "tone", "detailer"):
            on_gpu(name, getattr(lab, name))
        drawn = lab.draw(slice(2))
        assert {level.device.type for level in lab.levels().values()} == {drawn.device.type} == {"cpu"}
        lab.colour_passed(drawn, slice(1))
        found = detailing.scores(lab, {"drawn": drawn, "fused": lab.fused})
        assert found["drawn"].keys() == detailing.METRICS.keys()
        detailing.in_holes(lab, {"drawn": drawn})


def test_the_examination_stays_on_its_device(tmp_path):
    with imagine("cuda"):
        with numbers():
            data = People(SETTINGS.detail.resolution)
        lab = examination.Examination(SETTINGS, data, "cuda")
        for pipe in lab.pipes.values():
            on_gpu("g_studio", pipe.g_studio)
        table = lab.run_all(tmp_path / "table.json")
        assert {"chain", "fusion", "chain (open)"} <= set(table.methods) and lab.result.device.type == "cpu"
        lab.shadow()


def test_the_photograph_s_laboratory_stays_on_its_device(monkeypatch):
    size = SETTINGS.detail.resolution
    with imagine("cuda"):
        with numbers():
            data = People(SETTINGS.generator.resolution)
        shot = SimpleNamespace(texture=torch.zeros(1, 3, size, size), visibility=torch.ones(1, 1, size, size), landmarks=None)
        monkeypatch.setattr(photograph.capture, "capture_photo", lambda *_: shot)
        lab = photograph.Photograph("cuda", size)
        on_gpu("judge", lab.judge)
        out = lab.run(shot.texture, shot.visibility)
        assert out.texture.device.type == "cpu"
        found = lab.home(data, out, 2)
        assert found.real.keys() == found.synthetic.keys()


def test_the_inversion_laboratory_stays_on_its_device():
    size = SETTINGS.generator.resolution
    with imagine("cuda"):
        with numbers():
            data = People(size)
        made = {
            name: weights.load(name, device="cuda") for name in ("g_phone", "d_phone", "encoder", "curvature", "identity_eval")
        }
        judge = made.pop("identity_eval")
        inverter = inversion.Inverter(**made)
        rows = data.captures("val")[::2]
        (texture, seen), truth = data.phone_batch(rows), data.studio_batch(rows)
        captures = inversion.Captures(rows, rows, texture, seen, seen, seen, seen, truth)
        base = replace(SETTINGS.inversion, steps=1)
        result = inversion.race(inverter, texture, seen, base)
        assert {code.device.type for code in result.codes.values()} == {"cuda"}
        assert {curve.device.type for curve in result.climbs()} == {"cpu"}
        painted = {name: decode(inverter.g_phone, code) for name, code in result.codes.items()}
        found = inversion.measure(captures, result.codes, painted, painted, inverter.g_phone, judge)
        assert {value.device.type for values in found.values.values() for value in values.values()} == {"cpu"}
        assert len(found.values) == 10 and isinstance(inversion.strangers(judge, truth), float)
        assert len(inversion.leak(inverter, texture, seen, base)) == 2
        assert {score.device.type for score in inversion.hidden_scores(captures, painted)[1].values()} == {"cpu"}


def test_what_chapter_2_asks_of_samples_stays_on_its_device(monkeypatch):
    size = SETTINGS.generator.resolution
    monkeypatch.setattr(samples, "kid", lambda features, a, b, seed: (features(a) - features(b).mean(0)).mean())
    with imagine("cuda"):
        nets = [weights.load("g_phone", device="cuda") for _ in range(2)]
        pictures, maps = torch.rand(8, 3, size, size), torch.ones(8, 1, size, size)
        with numbers():
            owner = torch.arange(8) // 2
        found = samples.gallery(tuple(nets), (pictures, maps), owner, (pictures, maps), pictures[:4], (1.0, 0.5), 2)
        kept = [found.held_out, found.training, found.images, found.maps, *found.rebuilt, *found.brief, *found.sampled[0.5]]
        assert {part.device.type for part in kept} == {"cpu"}
        check = samples.copy_check(found, (pictures, maps), (pictures, maps), pictures[:4])
        assert {part.device.type for part in (check.nearest, *check.distance.values())} == {"cpu"}
        with numbers():  # halves of people are counted
            zeros = {name: [torch.zeros(8, 4)] * 2 for name in ("rebuilt", "brief")}
            still = replace(found, held_out=torch.zeros(8, 4), training=torch.zeros(8, 4), sampled={1.0: zeros["brief"]}, **zeros)
            assert {value.device.type for values in samples.distances(still).values() for value in values} == {"cpu"}


@pytest.mark.parametrize("seeing", [False, True])
@pytest.mark.parametrize("contest", [pretraining.hole_contest, pretraining.grain_contest])
def test_the_contests_of_chapter_2_stay_on_their_device(contest, seeing, monkeypatch):
    graded = []
    monkeypatch.setattr(pretraining, "auc", lambda scores, labels: graded.append({scores.device.type, labels.device.type}) or 0.5)
    settings = replace(SETTINGS, contest_images=SETTINGS.pretrain.batch)
    option = {pretraining.hole_contest: "masked", pretraining.grain_contest: "with_bands"}[contest]
    with imagine("cuda"):
        with numbers():
            data = People(32)
        found = contest(data, settings, torch.device("cuda"), **{option: seeing})
        assert {x.device.type for x in (found.real, found.fake, found.visibility, found.gradient)} == {"cpu"}
        assert found.gradient.shape == (8, 1, 32, 32) and len(found.images) == len(graded) > 1
        assert graded == [{"cpu"}] * len(graded)
        assert pretraining.loudness(found.real, found.visibility).device.type == "cpu"


def test_the_line_up_of_chapter_1_stays_on_its_device(monkeypatch):
    graded = []

    def grade(embeddings, subject, threshold=0.5):
        graded.append({embeddings.device.type, subject.device.type})
        return SimpleNamespace(threshold=threshold)

    with imagine("cuda"):
        with numbers():
            data = People(SETTINGS.generator.resolution)
        # which captures are whose, and which pairs of them are one person's, is counted
        monkeypatch.setattr(torch, "isin", lambda *_: SimpleNamespace(nonzero=lambda: torch.arange(8).view(8, 1)))
        monkeypatch.setattr(domains, "verification", grade)
        monkeypatch.setattr(domains, "pair_scores", lambda *judged: (grade(*judged), grade(*judged)))
        monkeypatch.setattr(domains.recipes, "chapter_set", lambda settings: data)
        assert domains.line_up(SETTINGS, weights.load("identity_eval", device="cuda")).people == 2 * SETTINGS.chapter.val_subjects
    assert graded == [{"cpu"}] * 4
