"""Texture sets on disk: splits, manifests, resuming."""

import json

import numpy as np
import pytest
import torch

from studiolike.errors import InputError, OutputError
from studiolike.synth import SetSpec, TextureSet, dataset, write_set
from studiolike.synth.dataset import ARRAYS, SPLITS

SPEC = SetSpec(
    resolution=32,
    phone_subjects=2,
    studio_subjects=1,
    pair_subjects=1,
    val_subjects=1,
    test_subjects=2,
    lightings=1,
    test_lightings=2,
    first_seed=7,
)


@pytest.fixture(scope="module", autouse=True)
def small_chunks():
    """Four subjects a chunk, so that even this small set has several."""
    patch = pytest.MonkeyPatch()
    patch.setattr(dataset, "chunk_size", lambda resolution: 4)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_set(SPEC, tmp_path_factory.mktemp("set") / "plain", progress=False)


def test_counts_are_exact_and_splits_disjoint_by_subject(data):
    assert [len(data.subjects(s)) for s in SPLITS] == [2, 1, 1, 1, 2]
    assert [len(data.captures(s)) for s in SPLITS] == [2, 1, 1, 1, 4]
    seen = torch.cat([data.subjects(s) for s in SPLITS])
    assert len(seen) == len(seen.unique()) == 7
    for s in SPLITS:
        assert set(data.subject[data.captures(s)].tolist()) == set(data.subjects(s).tolist())


def test_arrays_have_the_promised_types(data):
    assert data.phone.dtype == data.visibility.dtype == data.studio.dtype == np.uint8
    assert data.phone.shape == (9, 3, 32, 32) and data.visibility.shape == (9, 1, 32, 32)
    assert data.studio.shape == (7, 3, 32, 32)
    texture, visibility = data.phone_batch(torch.tensor([0, 5]))
    assert texture.dtype == torch.float32 and 0 <= texture.min() and texture.max() <= 1
    assert visibility.shape == (2, 1, 32, 32) and (visibility == 0).any() and visibility.max() > 0.9
    assert data.studio_batch(data.subjects("test")).shape == (2, 3, 32, 32)
    apart = dataset.SPLIT_SEEDS
    assert data.seeds.tolist() == [7, 8, 7 + apart, 7 + 2 * apart, 7 + 3 * apart, 7 + 5 * apart, 8 + 5 * apart]
    assert ((data.severity > 0) & (data.severity <= 1)).all()


def test_test_subjects_share_their_lightings_and_others_do_not(data):
    rows = data.captures("test")
    first, second = (data.lighting[rows[data.subject[rows] == s]] for s in data.subjects("test"))
    assert torch.equal(first, second)
    others = data.lighting[data.captures("phone")]
    assert len(others.unique()) == len(others)


def test_an_interrupted_write_resumes_to_the_same_bytes(data, tmp_path, monkeypatch):
    calls = {"n": 0}
    honest = dataset.phone_capture

    def failing(*args):
        calls["n"] += 1
        if calls["n"] == 2:
            raise KeyboardInterrupt
        return honest(*args)

    monkeypatch.setattr(dataset, "phone_capture", failing)
    with pytest.raises(KeyboardInterrupt):
        write_set(SPEC, tmp_path / "set", progress=False)
    assert not (tmp_path / "set" / "manifest.json").exists()
    with pytest.raises(InputError):
        TextureSet.open(tmp_path / "set")
    monkeypatch.setattr(dataset, "phone_capture", honest)
    again = write_set(SPEC, tmp_path / "set", progress=False)
    assert again.manifest == data.manifest
    for name in ARRAYS:
        assert np.array_equal(getattr(again, name), getattr(data, name))
    assert torch.equal(again.severity, data.severity) and torch.equal(again.tone, data.tone)


def test_a_finished_set_is_opened_and_another_spec_refused(data):
    assert write_set(SPEC, data.path, progress=False).manifest == data.manifest
    with pytest.raises(OutputError):
        write_set(SetSpec(resolution=32, phone_subjects=4), data.path, progress=False)


def test_the_manifest_names_generator_spec_and_hashes(data):
    manifest = json.loads((data.path / "manifest.json").read_text())
    assert manifest["generator"] == dataset.GENERATOR_VERSION and manifest["spec"]["first_seed"] == 7
    assert set(manifest["sha256"]) == set(ARRAYS) and all(len(h) == 64 for h in manifest["sha256"].values())


def test_impossible_specs_and_unknown_splits_are_refused(data):
    for wrong in ({"resolution": 48}, {"phone_subjects": -1}, {"lightings": 0}):
        with pytest.raises(InputError):
            SetSpec(**wrong)
    with pytest.raises(InputError):
        data.subjects("train")
