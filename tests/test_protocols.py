"""The two protocols: what each lets a training read, that nothing else reaches a network, and that "test" stays closed."""

import ast
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes import FakeSet
from safetensors.torch import load_file

from studiolike import io, recipes, weights
from studiolike.adaptation import EncodedCaptures, EncodedPairs
from studiolike.config import (
    PROFILES,
    AdaptConfig,
    DataConfig,
    DetailConfig,
    GeneratorConfig,
    IdentityConfig,
    ToneConfig,
    profile,
)
from studiolike.errors import ProtocolError
from studiolike.protocols import CAPTURE_SPLITS, PROTOCOLS, STUDIO_SPLITS, paired_captures, permitted, studio_subjects
from studiolike.recipes import shared
from studiolike.stylegan2 import Encoder, Generator
from studiolike.stylegan2.rebase import fit_mapping
from studiolike.synth import studio_texture, synthesise_subjects
from studiolike.synth.dataset import SPLIT_SEEDS, SPLITS, STRETCH, SetSpec
from studiolike.synth.traits import BEARDS, draw_traits

ROOT = Path(__file__).resolve().parents[1]

# ------------------------------------------------------------------------------------------------------------ the door


@pytest.fixture(scope="module")
def data():
    return FakeSet(subjects=20, lightings=2, resolution=16)


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_split_is_open_or_closed_as_the_protocol_says(data, protocol, watch):
    view = permitted(data, protocol, watch)
    for split in SPLITS:
        people, captures = data.subjects(split), data.captures(split)
        if split in STUDIO_SPLITS[protocol] or (watch and split == "val"):
            assert np.array_equal(view.studio[people.numpy()], data.studio[people.numpy()])
            assert torch.equal(view.studio_batch(people), data.studio_batch(people))
        else:
            for row in people.tolist():
                with pytest.raises(ProtocolError, match=f"row {row} is not among the studio textures of protocol '{protocol}'"):
                    view.studio[row]
            with pytest.raises(ProtocolError):
                view.studio_batch(people[:1])
        if split in CAPTURE_SPLITS:
            assert all(torch.equal(a, b) for a, b in zip(view.phone_batch(captures), data.phone_batch(captures), strict=True))
        else:
            for array in (view.phone, view.visibility):
                with pytest.raises(ProtocolError, match="captures that training may read"):
                    array[captures.numpy()]
            with pytest.raises(ProtocolError):
                view.phone_batch(captures[-1:])


def test_the_pretraining_subjects_are_what_the_protocols_differ_in_and_no_protocol_learns_from_val_or_test():
    assert set(STUDIO_SPLITS["open"]) - set(STUDIO_SPLITS["few"]) == {"phone"}
    assert not {"val", "test"} & {split for splits in STUDIO_SPLITS.values() for split in splits}
    assert "test" not in CAPTURE_SPLITS


def test_every_way_of_indexing_goes_through_the_door(data):
    view, allowed = permitted(data, "few"), studio_subjects(data, "few").numpy()
    first, last = int(allowed[0]), int(allowed[-1])
    mask = np.zeros(len(data.studio), bool)
    mask[allowed] = True
    for index in (
        first,
        np.int64(first),
        torch.tensor(first),
        slice(first, last + 1),
        slice(last, first - 1, -1),
        [first, last],
        allowed,
        torch.from_numpy(allowed),
        mask,
        torch.from_numpy(mask),
        (first, 0),
        (allowed, slice(None), 3),
        first - len(data.studio),
        [],
    ):
        plain = index.numpy() if torch.is_tensor(index) else index
        assert np.array_equal(view.studio[index], data.studio[plain])
    outside = ~mask
    for index in (
        0,
        np.int64(0),
        torch.tensor(0),
        -1,
        slice(None),
        slice(0, last + 1),
        ...,
        [first, 0],
        np.append(allowed, 0),
        torch.arange(len(data.studio)),
        outside,
        torch.from_numpy(outside),
        (0, 0),
        (slice(None), 0),
        (..., 0),
        None,
    ):
        with pytest.raises(ProtocolError):
            view.studio[index]
    with pytest.raises(ProtocolError):
        np.asarray(view.studio)
    with pytest.raises(ProtocolError):
        list(view.studio)
    with pytest.raises(IndexError):
        view.studio[len(data.studio)]


def test_the_view_looks_like_the_set_and_leaves_it_as_it_was(data):
    view = permitted(data, "few")
    assert len(view.studio) == len(data.studio) and view.studio.shape == data.studio.shape
    assert view.phone.dtype == data.phone.dtype and view.visibility.ndim == 4 and view.resolution == data.resolution
    assert isinstance(data.studio, np.ndarray) and data.studio[0].shape == (3, 16, 16)
    narrower = permitted(permitted(data, "open"), "few")
    with pytest.raises(ProtocolError):
        narrower.studio[0]
    with pytest.raises(ProtocolError):  # no protocol opens what another one closed
        permitted(view, "open").studio[0]


def test_pairs_are_captures_of_people_whose_texture_may_be_read(data):
    for protocol in PROTOCOLS:
        rows = paired_captures(data, protocol)
        assert set(data.subject[rows].tolist()) == set(studio_subjects(data, protocol).tolist())
        permitted(data, protocol).studio_batch(torch.as_tensor(data.subject)[rows])
    for asked in (permitted, studio_subjects, paired_captures):
        with pytest.raises(ProtocolError, match="unknown protocol 'many'; choose one of few, open"):
            asked(data, "many")


def test_an_unknown_protocol_is_named_before_anything_is_made(tmp_path):
    with pytest.raises(ProtocolError, match="unknown protocol 'many'"):
        recipes.train("all", SMALL, tmp_path / "runs", protocol="many", progress=False)
    assert not (tmp_path / "runs").exists()


# ------------------------------------------------------------------------------------------------------- the poison test

DATA = DataConfig(
    resolution=32,
    detail_resolution=64,
    phone_subjects=2,
    lightings=2,
    studio_subjects=1,
    pair_subjects=2,
    val_subjects=4,  # KID wants four captures on each side
    test_subjects=1,
    detail_subjects=2,
)
SMALL = replace(
    profile("smoke").sized(GeneratorConfig(32, 16, 2, 256, 16), 64),
    data=DATA,
    chapter=DATA,
    adapt=AdaptConfig(images=12, batch=4, warm_up=0.34, r1_every=1),
    adapt_open=replace(profile("smoke").adapt_open, images=12, batch=4),
    detail=DetailConfig(resolution=64, crop=32, channels=(8, 16), images=8, batch=4),
    tone=ToneConfig(images=24, batch=6),
    identity=IdentityConfig(resolution=64, images=8, batch=4),
)
SHARED_RUNS, BANKS = ("identity", "identity_eval", "g_phone", "encoder"), ("bank", "pairs")
PICTURES = ("exemplars", "studio_mean")


def poison(root, splits):
    """The studio textures of some splits become noise, in every set under ``root``."""
    for folder in (root / "data").iterdir():
        path = folder / "studio.npy"
        studio = np.load(path)
        with np.load(folder / "index.npz") as index:
            rows = np.isin(index["split"], [SPLITS.index(split) for split in splits])
        assert rows.any()
        studio[rows] = np.random.default_rng(0).integers(0, 256, studio[rows].shape, dtype=np.uint8)
        np.save(path, studio)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """``(protocol, poisoned splits) -> {run: every tensor of its checkpoint}``, by the recipes on a tiny set; and the code banks,
    exemplars and the mean studio texture that they keep or release."""
    plain = tmp_path_factory.mktemp("plain")
    recipes.data_sets(SMALL, plain, progress=False)
    known, doors = {}, []
    quick = pytest.MonkeyPatch()
    quick.setattr("studiolike.stylegan2.train.fit_mapping", partial(fit_mapping, steps=10))
    quick.setattr("studiolike.recipes.shared.EXEMPLAR_SIZE", 64)
    quick.setattr("studiolike.recipes.shared.permitted", lambda data, p, **o: doors.append(p) or permitted(data, p, **o))

    def train(protocol, splits=()):
        if (protocol, splits) not in known:
            root = tmp_path_factory.mktemp("run")
            shutil.copytree(plain, root, dirs_exist_ok=True)
            shutil.copytree(weights.PACKAGED, root / "released")
            quick.setenv("STUDIOLIKE_WEIGHTS", str(root / "released"))
            if splits:
                poison(root, splits)
            doors.clear()
            recipes.train("all", SMALL, root, protocol=protocol, release=True, device="cpu", progress=False)
            quick.delenv("STUDIOLIKE_WEIGHTS")
            assert len(doors) > 4 and set(doors) == {"few"}  # of the steps that both protocols share
            runs = {path.parent.name: torch.load(path, weights_only=True) for path in (root / "smoke").glob("*/checkpoint.pt")}
            assert set(runs) == {*SHARED_RUNS, f"g_studio-{protocol}", f"tone-{protocol}", f"detailer-{protocol}"}
            made = {name: dict(tensors(checkpoint)) for name, checkpoint in runs.items()}
            kept = root / "smoke" / "networks"
            made |= {name: load_file(kept / f"{name}.safetensors") for name in BANKS}
            pictures = {"exemplars": kept / weights.EXEMPLARS, "studio_mean": root / "released" / weights.STUDIO_MEAN}
            for name, path in pictures.items():
                made[name] = {"all": torch.from_numpy(io.read_image(path, None).copy())}
            known[protocol, splits] = made
        return known[protocol, splits]

    yield train
    quick.undo()


def tensors(tree, name=""):
    """Every tensor of nested dictionaries and lists, by its place."""
    if torch.is_tensor(tree):
        yield name, tree
    elif isinstance(tree, dict | list | tuple):
        for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from tensors(part, f"{name}/{key}")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(("protocol", "closed"), [("few", ("phone", "val")), ("open", ("val",))])
def test_textures_that_a_protocol_forbids_do_not_change_one_bit_of_any_network(trained, protocol, closed):
    clean, poisoned = trained(protocol), trained(protocol, closed)
    for run, checkpoint in clean.items():
        assert len(checkpoint) > 20 or run in (*BANKS, *PICTURES)
        assert same(checkpoint, poisoned[run]), run


@pytest.mark.parametrize(("protocol", "splits"), [("open", ("phone",)), ("few", ("studio", "pairs"))])
def test_textures_that_a_protocol_allows_do_change_what_it_trains(trained, protocol, splits):
    clean, poisoned = trained(protocol), trained(protocol, splits)
    for run in (f"g_studio-{protocol}", f"detailer-{protocol}"):
        assert not same(clean[run], poisoned[run]), run
    for run in (*SHARED_RUNS, *BANKS):  # learn from captures alone
        assert same(clean[run], poisoned[run]), run
    assert same(clean["studio_mean"], poisoned["studio_mean"]) == ("studio" not in splits)


def test_exemplars_are_few_people_of_the_few_shot_set_even_if_others_would_stand_better_for_all(monkeypatch):
    """The set has more shaven people than there are exemplars, and everybody in "phone" looks like the mean of all."""
    data, given = FakeSet(subjects=60, lightings=1, resolution=32), []
    few = studio_subjects(data, "few").tolist()
    data.studio[data.subjects("phone").numpy()] = data.studio.mean(0).astype(np.uint8)
    monkeypatch.setattr(shared, "EXEMPLARS", 3)
    monkeypatch.setattr(shared, "EXEMPLAR_SIZE", 32)
    monkeypatch.setattr(weights, "write_exemplars", lambda drawn, folder: given.append(drawn))
    context = SimpleNamespace(data=data, processes=SimpleNamespace(is_main_process=True), runs=Path("nowhere"), release=False)
    shared.choose_exemplars(context)
    (drawn,) = given
    shaven = draw_traits(torch.as_tensor(data.seeds)[few])["beard"] == BEARDS.index("none")
    own = [studio_texture(synthesise_subjects(torch.tensor([seed]), 32))[0] for seed in torch.tensor(few)[shaven].tolist()]
    assert len(own) > len(drawn) == 3
    assert all(any(torch.equal(one, other) for other in own) for one in drawn)


def test_a_recipe_that_reached_for_a_closed_texture_would_be_stopped():
    data = permitted(FakeSet(), "few")
    generator = Generator(32, 16, 2, channel_base=64, channel_max=16)
    encoder = Encoder(32, 16, 64, 16, hidden=8)
    everyone = EncodedPairs(EncodedCaptures(data, data.captures("phone"), encoder, generator))
    with pytest.raises(ProtocolError):
        everyone.draw(4, torch.Generator().manual_seed(0))


# ------------------------------------------------------------------------------------------- the split "test" stays closed


@pytest.mark.parametrize("detailed", [False, True])
@pytest.mark.parametrize("name", PROFILES)
def test_no_training_set_holds_a_test_subject(name, detailed):
    data, chapter = PROFILES[name].data, PROFILES[name].chapter
    read = {int(s) for config in (data, chapter) for s in recipes.set_spec(config, detailed).seeds()}
    for config in (data, chapter):
        assert recipes.set_spec(config, detailed).counts()["test"] == 0
        final = recipes.set_spec(config, detailed, test=True)
        assert final.counts()["test"] == config.test_subjects > 0 == final.counts()["phone"]
        held = final.seeds()[-config.test_subjects :]
        assert not read & set(held.tolist())
        assert not ((held >= 4 * SPLIT_SEEDS) & (held < 5 * SPLIT_SEEDS)).any()  # looked at while settings were chosen


def test_the_seeds_of_the_splits_never_meet():
    assert set(STRETCH) == set(SPLITS) and len(set(STRETCH.values())) == len(SPLITS) and 4 not in STRETCH.values()
    spec = SetSpec(32, 5, 4, 3, 2, 6, first_seed=11)
    seeds = spec.seeds()
    assert len(seeds.unique()) == len(seeds) == 20
    for config in (p.data for p in PROFILES.values()):
        assert max(
            recipes.set_spec(config, detailed, test).counts()[s] for detailed in (0, 1) for test in (0, 1) for s in SPLITS
        ) < (SPLIT_SEEDS)


# the final evaluation, how many people it has, and what knows all splits by name
MAY_NAME_TEST = {
    ("studiolike/recipes/evaluation.py", "evaluate_chain"),
    ("studiolike/recipes/sets.py", "set_spec"),
    ("studiolike/cli/training.py", "Evaluate"),
    ("studiolike/config.py", None),
    ("studiolike/synth/dataset.py", None),
    ("studiolike/sets/collect.py", None),
    ("studiolike/experiments/examination.py", "Examination"),  # what chapter 6 runs
}


READERS = ("Examination", "evaluate_chain")  # read the split "test", always or when they are told to


def asks_for_test(source):
    """``(name of the outermost function or class, line)`` of every place that names the split "test", makes test subjects, or
    calls one of `READERS`, unless for the split "val"."""
    found = []
    tree = ast.parse(source)

    def is_zero(node):
        return isinstance(node, ast.Constant) and node.value in (0, False)

    def is_val(node):
        return isinstance(node, ast.Constant) and node.value == "val"

    def passes_on(node):
        return isinstance(node, ast.Name) and node.id == "test"

    for outer in tree.body:
        where = getattr(outer, "name", None)
        for node in ast.walk(outer):
            if isinstance(node, ast.alias) and node.name in READERS and node.asname:  # a name that the scan would not know
                found.append((where, node.lineno))
            if isinstance(node, ast.Constant) and node.value == "test":
                found.append((where, node.lineno))
            if isinstance(node, ast.Call):
                given = {keyword.arg: keyword.value for keyword in node.keywords}
                made = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if "test" in given and not is_zero(given["test"]) and not passes_on(given["test"]):
                    found.append((where, node.lineno))
                if "test_subjects" in given and not is_zero(given["test_subjects"]):
                    found.append((where, node.lineno))
                if made == "Examination" or (made == "evaluate_chain" and not is_val(given.get("split"))):
                    found.append((where, node.lineno))
                if made == "SetSpec" and "test_subjects" not in given and len(node.args) < 6:  # its default has some
                    found.append((where, node.lineno))
    return found


def offenders(folder, pattern, allowed=frozenset()):
    found = []
    for path in sorted((ROOT / folder).glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        for where, line in asks_for_test(path.read_text()):
            if not {(name, where), (name, None)} & allowed:
                found.append(f"{name}:{line} ({where})")
    return found


def test_the_scan_finds_every_way_to_ask_for_test():
    for line in (
        'rows = data.captures("test")',
        'for split in ("val", "test"): pass',
        "data = recipes.chapter_set(p, test=True)",
        "data = recipes.chapter_set(p, test=not quick)",
        "spec = SetSpec(resolution=32)",
        "config = replace(config, test_subjects=4)",
        "exam = Examination(settings, data)",
        "exam = examination.Examination(settings, data, device)",
        "from studiolike.experiments.examination import Examination as Lab",
        "table = recipes.evaluate_chain(p, runs, split=chosen)",
        "table = evaluate_chain(p, runs)",
    ):
        assert asks_for_test(line), line
    for line in (
        'rows = data.captures("val")',
        "make_set(config, root, test=False)",
        "SetSpec(test_subjects=0)",
        "test = 1",
        'table = evaluate_chain(p, runs, split="val")',
        "from .evaluation import evaluate_chain",
    ):
        assert not asks_for_test(line), line


def test_only_the_final_evaluation_asks_for_the_split_test():
    package = {entry for entry in MAY_NAME_TEST} | {
        (path.relative_to(ROOT).as_posix(), None) for path in (ROOT / "studiolike" / "evaluation").glob("*.py")
    }
    assert not offenders("studiolike", "**/*.py", package)
    assert not offenders("benchmarks", "*.py")
    assert not offenders("book/tools", "*.py")


def test_only_the_chapter_of_the_final_evaluation_asks_for_the_split_test():
    chapters = offenders("notebooks", "ch*.py")
    assert [place for place in chapters if not place.startswith("notebooks/ch06-")] == []
    users = [path.name for path in sorted((ROOT / "notebooks").glob("ch*.py")) if "examination" in path.read_text()]
    assert users == ["ch06-avatar.py"]
