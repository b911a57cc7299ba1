"""Profiles cannot contradict themselves, and chapters follow the networks that they show."""

import json
from dataclasses import replace

import pytest

from studiolike import recipes, weights
from studiolike.cli import main
from studiolike.config import PROFILES, DataConfig, DetailConfig, GeneratorConfig, PretrainConfig, profile
from studiolike.errors import ProfileError
from studiolike.stylegan2.losses import r1_gamma

CPU = profile("cpu")


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"generator": GeneratorConfig(resolution=256)}, r"the generator makes 256², data.resolution is 128"),
        ({"detail": DetailConfig(resolution=512)}, r"the detailer makes 512², data.detail_resolution is 256"),
        ({"detail": DetailConfig(crop=512)}, "detail.crop 512 is larger"),
        ({"detail": DetailConfig(channels=(48, 60))}, "not all multiples of 8"),
        ({"chapter": DataConfig(resolution=64, phone_subjects=64)}, "chapter textures are 64²"),
        ({"chapter": replace(CPU.chapter, phone_subjects=10**6)}, "chapter has more phone_subjects than data"),
        ({"chapter": replace(CPU.chapter, first_seed=7)}, "first_seed 7"),
        ({"pretrain": PretrainConfig(images=20_000, warm_up=20_000)}, "leaves no game"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
    ],
)
def test_a_profile_that_contradicts_itself_cannot_be_made(changes, told):
    with pytest.raises(ProfileError, match=told):
        replace(CPU, **changes)


def test_another_size_changes_everything_that_follows_from_it():
    small = CPU.sized(GeneratorConfig(64, 32, 2, 512, 32), 64)
    assert (small.data.resolution, small.data.detail_resolution, small.detail.resolution, small.detail.crop) == (64, 64, 64, 64)
    assert (small.chapter.resolution, small.chapter.detail_resolution) == (64, 64)
    assert small.data.phone_subjects == CPU.data.phone_subjects and small.chapter.phone_subjects == CPU.chapter.phone_subjects


def test_gamma_follows_resolution_and_batch():
    gammas = {name: r1_gamma(p.generator.resolution, p.pretrain.batch, p.pretrain.r1) for name, p in PROFILES.items()}
    assert gammas["cpu"] == pytest.approx(0.03, rel=0.03)
    assert gammas["paper"] == pytest.approx(gammas["gpu"] * 16)
    gammas = {name: r1_gamma(p.generator.resolution, p.adapt.batch, p.adapt.r1) for name, p in PROFILES.items()}
    assert gammas["cpu"] == 0.02 and gammas["paper"] == pytest.approx(gammas["gpu"] * 16)


@pytest.mark.parametrize("generator, detail", [(CPU.generator, 256), (PROFILES["gpu"].generator, 512)])
@pytest.mark.parametrize("name", PROFILES)
def test_the_chapters_of_every_profile_are_of_the_size_of_the_networks_they_show(name, generator, detail, tmp_path, monkeypatch):
    for network, config in (("g_phone", vars(generator)), ("detailer", {"resolution": detail})):
        folder = weights.folder_of(network, root=tmp_path)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("STUDIOLIKE_WEIGHTS", str(tmp_path))
    shown = recipes.chapter_profile(name)
    assert (shown.generator, shown.chapter.resolution) == (generator, generator.resolution)
    assert shown.chapter.detail_resolution == shown.detail.resolution == detail
    assert shown.live_images == profile(name).live_images


def test_warm_with_networks_of_another_size_is_an_error_before_anything_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "all", "--profile", "gpu", "--warm"]) == 2
    assert "released g_phone has not the size that the profile gpu trains" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_command_line_names_settings_that_do_not_fit(tmp_path, capsys):
    assert main(["train", "phone", "--runs", str(tmp_path), "--set.generator.resolution", "64"]) == 2
    assert "the generator makes 64², data.resolution is 128" in capsys.readouterr().err
