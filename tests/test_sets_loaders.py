"""Each set is read in its own folder layout and colours; what is missing or damaged is named."""

from __future__ import annotations

import io as streams
import json
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from studiolike.errors import InputError
from studiolike.sets.loaders import ava_display, load, subject_of


def picture(value=(60, 80, 40), size=(24, 24)):
    return Image.new("RGB", size, value)


def png(value=(60, 80, 40)):
    stream = streams.BytesIO()
    picture(value).save(stream, "png")
    return stream.getvalue()


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def tar_of(name, content):
    stream = streams.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, streams.BytesIO(content))
    return stream.getvalue()


def checked(sample):
    assert sample.texture.dtype == torch.float32 and sample.texture.shape == (3, 24, 24)
    assert sample.visibility.shape == (1, 24, 24) and 0 <= sample.texture.min() and sample.texture.max() <= 1
    assert subject_of(sample.name) == sample.metadata["subject"]
    return sample


def test_the_display_transform_gives_numbers_worked_out_by_hand():
    # red 0.2: 0.2·1.4/1.1 = 0.254545; less 3/255 = 0.242781; ·0.95/(1 − 3/255) = 0.233386; √ = 0.483100; −15/255 = 0.424277
    shown = ava_display(torch.tensor([0.2, 0.2, 0.2]).view(3, 1, 1)).flatten()
    assert shown[0].item() == pytest.approx(0.424277, abs=1e-4)
    assert shown[1].item() == pytest.approx(0.366641, abs=1e-4)
    assert shown[2].item() == pytest.approx(0.459, abs=2e-3)
    assert ava_display(torch.zeros(3, 1, 1)).max() == 0 and ava_display(torch.ones(3, 2, 2)).max() <= 1


def test_ava_256_is_read_by_person_and_brought_to_display_colours(tmp_path):
    for name in ("20230831--0814--BBB222", "20230405--1635--AAA111"):
        save(tmp_path / name / "decoder" / "uv_image" / "color_mean.png", png((51, 51, 51)))
    samples = [checked(sample) for sample in load(tmp_path, "ava-256")]
    assert [sample.name for sample in samples] == ["AAA111--20230405-1635", "BBB222--20230831-0814"]
    assert samples[0].texture[0, 0, 0].item() == pytest.approx(0.4243, abs=1e-3)


def test_multiface_is_read_out_of_its_archives_or_unpacked(tmp_path):
    save(tmp_path / "6674443" / "metadata.tar", tar_of("m--2018--GHS/tex_mean.png", png((10, 200, 30))))
    save(tmp_path / "002757580" / "tex_mean.png", png())
    save(tmp_path / "002757580" / "metadata.tar", b"not looked at when the picture is there")
    samples = [checked(sample) for sample in load(tmp_path, "multiface")]
    assert [sample.name for sample in samples] == ["002757580", "6674443"]
    assert samples[1].texture[:, 0, 0].tolist() == pytest.approx([10 / 255, 200 / 255, 30 / 255])
    assert sorted(p.name for p in (tmp_path / "6674443").iterdir()) == ["metadata.tar"]  # nothing was unpacked


@pytest.mark.parametrize(
    "content, message",
    [
        (b"no archive", "damaged"),
        (tar_of("KRT", b"x"), "no tex_mean.png"),
        (tar_of("tex_mean.png", b"x"), "not a readable image"),
    ],
)
def test_a_damaged_multiface_archive_is_named(tmp_path, content, message):
    save(tmp_path / "6674443" / "metadata.tar", content)
    with pytest.raises(InputError, match=message):
        list(load(tmp_path, "multiface"))


def test_ffhq_uv_is_read_from_pictures_and_archives(tmp_path):
    save(tmp_path / "ffhq-uv" / "uv-maps" / "00001.png", png())
    with zipfile.ZipFile(tmp_path / "uv-maps.zip", "w") as archive:
        archive.writestr("uv-maps/00002.png", png((1, 2, 3)))
        archive.writestr("readme.txt", "no picture")
    samples = [checked(sample) for sample in load(tmp_path, "ffhq-uv")]
    assert [sample.name for sample in samples] == ["00001", "00002"]
    save(tmp_path / "z.zip", b"broken")
    with pytest.raises(InputError, match="z.zip is damaged"):
        list(load(tmp_path, "ffhq-uv"))


def test_goliath_gives_the_dome_texture_and_names_the_phone_videos(tmp_path):
    save(tmp_path / "m--20240101--0900--QVC422--pilot--ProjectGoliath--Head" / "uv_image" / "color_mean.png", png((51, 51, 51)))
    video = save(tmp_path / "i--20240101--QVC422--iPhone" / "Head" / "NeutralScan" / "rgb.mov", b"")
    save(tmp_path / "i--20240101--XXX000--iPhone" / "Head" / "NeutralScan" / "rgb.mov", b"")
    (sample,) = load(tmp_path, "goliath-4")
    assert checked(sample).name == "QVC422--dome" and sample.metadata["phone_videos"] == [str(video)]


def test_an_imagefolder_uses_the_masks_beside_its_pictures(tmp_path):
    save(tmp_path / "anna--1.png", png())
    save(tmp_path / "more" / "ben.png", png())
    mask = np.zeros((24, 24), np.uint8)
    mask[:, 12:] = 255
    Image.fromarray(mask).save(tmp_path / "anna--1.mask.png")
    samples = [checked(sample) for sample in load(tmp_path)]
    assert [sample.name for sample in samples] == ["anna--1", "ben"]
    assert samples[0].visibility.mean() == 0.5 and samples[1].visibility.min() == 1
    Image.fromarray(mask[:10]).save(tmp_path / "anna--1.visibility.png")
    with pytest.raises(InputError, match="must have the size of anna--1.png, 24×24"):
        list(load(tmp_path))


def test_the_record_of_a_fetched_folder_decides_how_it_is_read(tmp_path):
    picture((200, 150, 120)).save(tmp_path / "Map-COL.jpg")
    (tmp_path / "fetched.json").write_text(json.dumps({"set": "leeperrysmith", "files": {}}))
    assert [checked(sample).name for sample in load(tmp_path)] == ["leeperrysmith"]
    (tmp_path / "fetched.json").write_text("{}")
    with pytest.raises(InputError, match="not a record"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["ava-256", "multiface", "ffhq-uv", "leeperrysmith", "goliath-4", "imagefolder"])
def test_an_empty_or_missing_folder_is_named(tmp_path, name):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="no such|below"):
            list(load(folder, name))


def test_an_unknown_set_and_an_unreadable_picture_are_refused(tmp_path):
    with pytest.raises(InputError, match="unknown set"):
        load(tmp_path, "faces")
    save(tmp_path / "a.png", b"nothing")
    with pytest.raises(InputError, match="a.png is a text file"):
        list(load(tmp_path))


def test_what_is_transparent_in_a_texture_of_a_folder_is_unseen(tmp_path):
    pixels = np.full((32, 32, 4), (190, 140, 120, 255), np.uint8)
    pixels[:8] = (255, 0, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "anna.png")
    (sample,) = load(tmp_path, "imagefolder")
    assert sample.visibility[:, :8].max() == 0 and sample.visibility[:, 8:].min() == 1
    Image.fromarray(np.full((32, 32), 128, np.uint8)).save(tmp_path / "anna.mask.png")
    (sample,) = load(tmp_path, "imagefolder")
    assert sample.visibility[:, :8].max() == 0 and sample.visibility[:, 8:].min() == 128 / 255
