"""What of a result was seen, invented and borrowed: the map, the shares, the record, and how a picture file keeps it."""

from xml.etree import ElementTree

import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from studiolike import layout
from studiolike.detail import complete, origin
from studiolike.detail.masks import lip_mask
from studiolike.record import RECORD, read_record, read_shape, record, sentence, shape_of, shape_text, shares, write_marked

CHOSEN = {"guided": True, "borrow": True, "weights": "/nétworks/网"}


@pytest.fixture
def half():
    """Visibility of a head of which the left half of the map was seen."""
    visibility = torch.zeros(1, 256, 256)
    visibility[..., :128] = 1
    return visibility


def made_of(visibility, settings, protocol):
    return record(visibility, origin(visibility[None], settings["guided"], settings["borrow"])[0], settings, protocol)


def test_what_is_called_borrowed_is_what_an_exemplar_changes(half):
    noise = torch.Generator().manual_seed(0)
    texture = 0.2 + 0.6 * torch.rand((1, 3, 256, 256), generator=noise)
    lent = torch.randint(0, 255, (2, 3, 256, 256), generator=noise, dtype=torch.uint8)
    changed = (complete(texture, half[None], lent) != texture).any(1) & (lip_mask(256)[0] == 0)  # lips are drawn, not borrowed
    sources = origin(half[None])
    assert not changed[sources[:, 2] == 0].any() and changed[sources[:, 2] > 0.5].float().mean() > 0.99
    features = torch.stack([layout.region_mask(name, 256) for name in layout.FEATURES]).amax(0) == 1
    assert (sources[0, 1][features[0] & (half[0] == 0)] > 0.9).all()  # eyes, brows and lips stay the generator's


def test_shares_count_the_face_and_are_the_same_at_every_size(half):
    counted = shares(half)
    assert counted["face_seen"] == pytest.approx(0.5, abs=0.02) and counted["face_partly"] == 0
    assert counted["face_seen"] + counted["face_unseen"] == pytest.approx(1) and counted["head_seen"] == 0.5
    fine = shares(half.repeat_interleave(4, 1).repeat_interleave(4, 2))
    assert fine == pytest.approx(counted, abs=0.01)
    assert shares(half * 0.3)["face_partly"] == pytest.approx(counted["face_seen"])


def test_a_sentence_tells_borrowed_from_invented_from_seen(half):
    borrowed = sentence(made_of(half, CHOSEN, "open"))
    own = sentence(made_of(half, CHOSEN | {"borrow": False}, "open"))
    blind = sentence(made_of(half, CHOSEN | {"guided": False}, "open"))
    whole = sentence(made_of(torch.ones_like(half), CHOSEN, "open"))
    assert "borrowed" in borrowed and "borrowed" not in own + blind + whole
    assert "What was not seen is invented" in own and "All detail is invented" in blind and "invented" not in whole
    assert "100% of the face was seen well" in whole and borrowed.isascii()
    kept = sentence(made_of(half, CHOSEN | {"keep_tone": True}, "open"))
    other = [
        sentence(made_of(half, CHOSEN | {"keep_tone": True} | more, "open")) for more in ({"guided": False}, {"detail_steps": 2})
    ]
    assert "evenly lit, and the nose, are largely left" in kept and not any("evenly lit" in said for said in other)
    assert all("skin is kept" in said for said in other)
    assert "skin is kept" in kept and "skin is kept" not in borrowed + sentence(
        made_of(half, CHOSEN | {"keep_tone": False}, "open")
    )


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif"])
def test_the_record_survives_in_the_file_beside_the_mark_that_others_read(ending, tmp_path, half):
    made = made_of(half, CHOSEN, "few")
    write_marked(torch.rand(3, 64, 64), tmp_path / f"x{ending}", made)
    assert read_record(tmp_path / f"x{ending}") == made
    data = (tmp_path / f"x{ending}").read_bytes()
    assert sentence(made).encode() in data
    begin, end = data.index(b"<x:xmpmeta"), data.index(b"</x:xmpmeta>") + len(b"</x:xmpmeta>")
    (description,) = ElementTree.fromstring(data[begin:end]).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    told = description.attrib["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"]
    assert told.endswith("/compositeWithTrainedAlgorithmicMedia")
    with Image.open(tmp_path / f"x{ending}") as picture:
        assert picture.size == (64, 64)


def test_a_format_without_room_for_it_is_written_without(tmp_path, half):
    write_marked(torch.rand(3, 64, 64), tmp_path / "x.bmp", made_of(half, CHOSEN, "few"))
    assert read_record(tmp_path / "x.bmp") is None
    with Image.open(tmp_path / "x.bmp") as picture:
        assert picture.size == (64, 64)


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "null",
        "{}",
        '{"seen": 1}',
        '{"size": 512, "seed": 0}',
        "[" * 100_000,
        '{"seen": {"face_seen": NaN, "face_partly": 0.1, "face_unseen": 0.1, "head_seen": 0.1},'
        ' "borrowed": true, "guided": true, "borrow": true}',
        '{"seen": {"face_seen": "<b>", "face_partly": 0.1, "face_unseen": 0.1, "head_seen": 0.1},'
        ' "borrowed": true, "guided": true, "borrow": true}',
    ],
)
def test_a_record_that_is_not_whole_is_none(text, tmp_path):
    info = PngInfo()
    info.add_text(RECORD, text)
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png", pnginfo=info)
    assert read_record(tmp_path / "x.png") is None
    (tmp_path / "y.png").write_text(text)
    assert read_record(tmp_path / "y.png") is None


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif"])
def test_the_shape_of_a_face_travels_in_the_file_and_stays_out_of_the_record(ending, tmp_path, half):
    shape = layout.face_vertices() + torch.randn(468, 3, generator=torch.Generator().manual_seed(0)) / 4
    made = made_of(half, CHOSEN, "few")
    for name, told in (("result", made), ("capture", None)):
        path = tmp_path / f"{name}{ending}"
        write_marked(torch.rand(3, 64, 64), path, told, shape)
        torch.testing.assert_close(read_shape(path), shape, atol=0.0051, rtol=0)
        assert read_record(path) == told
        # a camera's texture is not marked as a network's
        assert (b"compositeWithTrainedAlgorithmicMedia" in path.read_bytes()) == (told is not None)
    write_marked(torch.rand(3, 64, 64), tmp_path / f"none{ending}", made)
    assert read_shape(tmp_path / f"none{ending}") is None


def test_what_is_no_shape_of_a_face_is_none():
    good = shape_text(layout.face_vertices())
    torch.testing.assert_close(shape_of(good), layout.face_vertices())
    far = shape_text(layout.face_vertices() + 100.0)
    assert (shape_of(far) - layout.face_vertices()).abs().max() < 4.01  # cut to what a face can be
    import base64

    monster = base64.b64encode(b"\xff\x7f" * 1404).decode()
    for bad in (None, 3, "", "ab", good[:-4], good + good, monster, "é" * 3744, ["a"], {"a": 1}):
        assert shape_of(bad) is None, bad
