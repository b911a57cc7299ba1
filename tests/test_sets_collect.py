"""Folders of textures become a set that training reads: subjects stay apart, nothing is invented."""

from __future__ import annotations

import pytest
import torch

from studiolike import io
from studiolike.cli import main
from studiolike.errors import InputError, OutputError
from studiolike.sets import collect
from studiolike.synth import TextureSet
from studiolike.synth.dataset import SPLITS


def grey(folder, name, value, seen=None):
    folder.mkdir(parents=True, exist_ok=True)
    io.write_image(torch.full((3, 32, 32), value / 255), folder / f"{name}.png")
    if seen is not None:
        visibility = torch.ones(1, 32, 32)
        visibility[:, :seen] = 0
        io.write_image(visibility, folder / f"{name}.visibility.png")


@pytest.fixture
def folders(tmp_path):
    """20 studio subjects; phone textures of five of them (two each) and of three others."""
    for k in range(20):
        grey(tmp_path / "studio", f"s{k:02d}--dome", 100 + k, seen=4)
    for k in range(5):
        for shot in range(2):
            grey(tmp_path / "phone", f"s{k:02d}--{shot}", 10 + 2 * k + shot, seen=8)
    for k in range(3):
        grey(tmp_path / "phone", f"p{k}", 50 + k)
    return tmp_path


def test_a_set_of_both_domains_has_pairs_and_no_subject_in_two_splits(folders):
    data = collect(folders / "set", studio=folders / "studio", phone=folders / "phone", size=32, held_out=0.2, progress=False)
    assert isinstance(data, TextureSet) and data.resolution == 32
    assert data.phone.shape == (13, 3, 32, 32) and data.studio.shape == (20, 3, 32, 32)
    assert data.manifest["splits"] == {"phone": 3, "studio": 9, "pairs": 3, "val": 4, "test": 4}
    rows = torch.cat([data.subjects(split) for split in SPLITS])
    assert sorted(rows.tolist()) == list(range(23))
    people = data.manifest["subjects"]
    for row in data.captures("pairs").tolist():
        subject = int(data.subject[row])
        name = people[subject]
        k = int(name[1:])
        assert data.studio[subject, 0, 0, 0] == 100 + k  # the truth of the same person
        assert data.phone[row, 0, 0, 0] in (10 + 2 * k, 11 + 2 * k)
    texture, visibility = data.phone_batch(data.captures("pairs"))
    assert texture.shape == (6, 3, 32, 32) and visibility[:, :, :8].max() == 0 and visibility[:, :, 8:].min() == 1


def test_the_truth_of_a_phone_only_subject_cannot_be_read_by_mistake(folders):
    data = collect(folders / "set", studio=folders / "studio", phone=folders / "phone", size=32, progress=False)
    with pytest.raises(IndexError):
        data.studio_batch(data.subject[data.captures("phone")])


@pytest.mark.parametrize("role, split", [("studio", "studio"), ("phone", "phone")])
def test_one_domain_alone_makes_a_set(folders, role, split):
    data = collect(folders / "set", **{role: folders / role}, size=32, progress=False)
    assert (len(data.studio) == 0) == (role == "phone") and (len(data.phone) == 0) == (role == "studio")
    assert len(data.subjects(split)) == {"studio": 16, "phone": 8}[role]
    assert len(data.captures("phone")) == {"studio": 0, "phone": 13}[role]


def test_splits_depend_on_names_only_and_the_digest_on_the_pictures(folders):
    def make(name):
        return collect(folders / name, studio=folders / "studio", size=32, progress=False)

    first, second = make("one"), make("two")
    assert first.manifest == second.manifest
    grey(folders / "studio", "s03--dome", 7)
    changed = make("three")
    assert changed.manifest["splits"] == first.manifest["splits"] and torch.equal(changed.split, first.split)
    assert changed.manifest["spec"] != first.manifest["spec"]


def test_a_texture_is_resampled_and_a_map_that_does_not_fit_is_refused(folders):
    assert collect(folders / "large", phone=folders / "phone", size=64, progress=False).phone.shape[-1] == 64
    io.write_image(torch.rand(3, 20, 30), folders / "phone" / "wide.png")
    with pytest.raises(InputError, match="square"):
        collect(folders / "set", phone=folders / "phone", size=32, progress=False)
    assert not (folders / "set").exists()  # arrays of half a set are large and of no use


def test_impossible_wishes_are_refused(folders):
    for options in (
        {},
        {"studio": folders / "nowhere"},
        {"studio": folders / "studio", "size": 48},
        {"studio": folders / "studio", "held_out": 0.7},
    ):
        with pytest.raises(InputError):
            collect(folders / "set", **options, progress=False)
    collect(folders / "set", studio=folders / "studio", size=32, progress=False)
    with pytest.raises(OutputError, match="--overwrite"):
        collect(folders / "set", studio=folders / "studio", size=32, progress=False)
    (folders / "set" / "progress.json").touch()
    with pytest.raises(OutputError, match="being made"):
        collect(folders / "set", studio=folders / "studio", size=32, progress=False, overwrite=True)


def test_what_was_in_the_folder_stays_there_after_an_error_and_a_set_is_replaced_by_a_whole_one(folders):
    first = collect(folders / "set", studio=folders / "studio", size=32, progress=False)
    (folders / "set" / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in (folders / "set").iterdir()}
    io.write_image(torch.rand(3, 20, 30), folders / "phone" / "wide.png")
    with pytest.raises(InputError, match="square"):
        collect(folders / "set", phone=folders / "phone", size=32, progress=False, overwrite=True)
    assert {path.name: path.read_bytes() for path in (folders / "set").iterdir()} == before
    (folders / "phone" / "wide.png").unlink()
    second = collect(folders / "set", phone=folders / "phone", size=32, progress=False, overwrite=True)
    assert len(second.phone) == 13 and len(first.phone) == 0 and (folders / "set" / "notes.txt").read_text() == "mine"
    assert {path.name for path in (folders / "set").iterdir()} == before.keys()


def test_the_command_says_what_it_made(folders, capsys):
    assert (
        main(
            [
                "data",
                "import",
                "--studio",
                str(folders / "studio"),
                "--phone",
                str(folders / "phone"),
                "-o",
                str(folders / "set"),
                "--size",
                "32",
            ]
        )
        == 0
    )
    assert "20 studio and 13 phone textures at 32²" in capsys.readouterr().err


def test_the_adaptation_stage_reads_the_studio_textures(folders):
    from studiolike.recipes.by_protocol import imported_studio

    data = collect(folders / "set", studio=folders / "studio", phone=folders / "phone", size=32, progress=False)
    studio, held_out, digest = imported_studio(folders / "set", 32)
    wanted = torch.cat([data.subjects("studio"), data.subjects("pairs")])
    assert studio.dtype == torch.uint8 and studio.tolist() == data.studio[wanted.numpy()].tolist()
    assert held_out.tolist() == data.studio[data.subjects("val").numpy()].tolist() and len(digest) == 64


def test_data_synth_still_takes_a_profile(monkeypatch, capsys, tmp_path):
    from studiolike import recipes

    asked = []
    monkeypatch.setattr(recipes, "data_sets", lambda profile, runs, device: asked.append((profile.name, str(runs), device)) or [])
    assert main(["data", "synth", "--profile", "smoke", "--runs", str(tmp_path)]) == 0
    assert asked == [("smoke", str(tmp_path), "cpu")]


def test_adapt_learns_from_an_imported_set_in_a_run_of_its_own(folders, monkeypatch, tmp_path):
    from studiolike import adaptation, recipes
    from studiolike.config import profile

    small = profile("smoke")
    data = collect(folders / "set", studio=folders / "studio", size=small.data.resolution, progress=False)
    told = {}

    def train_studio(settings, g_phone, d_phone, encoder, data, protocol, studio, run_dir, *, held_out, **options):
        told.update(studio=studio, held_out=held_out, run=run_dir.name, data=data, trained=protocol)

    monkeypatch.setattr("studiolike.recipes.by_protocol.permitted", lambda data, protocol, watch: (data, protocol))
    monkeypatch.setattr(adaptation, "train_studio", train_studio)
    monkeypatch.setattr(recipes.Context, "data", "synthetic")
    monkeypatch.setattr(recipes.Context, "network", lambda self, name: torch.nn.Identity())
    monkeypatch.setattr(recipes.Context, "keep", lambda self, *_, **options: told.update(options))
    recipes.train("adapt", small, tmp_path / "runs", studio=folders / "set", protocol="few")
    assert told["data"] == ("synthetic", "few") and told["trained"] == told["protocol"] == "few"
    assert told["studio"].tolist() == data.studio[data.subjects("studio").numpy()].tolist()
    assert len(told["held_out"]) == len(data.subjects("val")) == 2
    assert told["run"].startswith("g_studio-few-") and told["extra"]["studio_textures"].startswith("16 of an imported set")


def test_an_imported_set_that_does_not_fit_and_a_release_are_refused(folders, tmp_path):
    from studiolike.config import profile
    from studiolike.errors import ProfileError
    from studiolike.recipes import train
    from studiolike.recipes.by_protocol import imported_studio

    collect(folders / "set", phone=folders / "phone", size=32, progress=False)
    with pytest.raises(InputError, match="import it with --size 64"):
        imported_studio(folders / "set", 64)
    with pytest.raises(InputError, match="no studio textures"):
        imported_studio(folders / "set", 32)
    for stage, release in (("adapt", True), ("all", False)):
        with pytest.raises(ProfileError, match="never for a release"):
            train(stage, profile("smoke"), tmp_path, release=release, studio=folders / "set")
