"""Photos as phones and paint programs write them: one form comes out, or the true reason; nothing is silently wrong.

`KINDS` is also the list of the page "What you can put in": a test compares the two.
"""

import io as buffers
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from studiolike import colour_tags, hdr, io, pictures
from studiolike.errors import InputError
from studiolike.files import read_person
from studiolike.image import linear_to_srgb, resize, srgb_to_linear

ROOT = Path(__file__).resolve().parents[1]
PATCHES = ((200, 60, 40), (40, 160, 90), (60, 80, 190), (210, 170, 140), (128, 128, 128), (30, 30, 30))


def chart(side: int = 32) -> np.ndarray:
    """Six patches, three in a row: uint8 ``(2·side, 3·side, 3)``."""
    rows = np.array(PATCHES, np.uint8).reshape(2, 3, 3)
    return rows.repeat(side, 0).repeat(side, 1)


def patches(image: np.ndarray) -> np.ndarray:
    """The middles of the six patches."""
    high, wide = image.shape[0] // 2, image.shape[1] // 3
    return np.array([image[high // 2 + high * r, wide // 2 + wide * c] for r in (0, 1) for c in (0, 1, 2)]).astype(int)


GREY = np.array(Image.fromarray(chart()).convert("L"))
GREY3 = np.repeat(GREY[..., None], 3, 2)


def p3_profile() -> bytes:
    """A profile of Display P3: matrix and the curve of sRGB, as ICC.1:2001 lays it out (version 2, D50)."""
    base = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    columns = {b"rXYZ": (0.51512, 0.24120, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189), b"bXYZ": (0.15710, 0.06657, 0.78407)}
    for entry in range(struct.unpack(">I", base[128:132])[0]):
        name, offset, size = struct.unpack(">4sII", base[132 + 12 * entry : 144 + 12 * entry])
        if name in columns:
            base[offset + 8 : offset + 20] = struct.pack(">3i", *(round(v * 65536) for v in columns[name]))
        if name == b"desc":
            base[offset : offset + size] = bytes(base[offset : offset + size]).replace(
                "sRGB".encode("utf-16-be"), "P3  ".encode("utf-16-be")
            )
    return bytes(base)


def in_p3(srgb: np.ndarray) -> np.ndarray:
    """sRGB levels → levels of Display P3 for the same colours, by the inverse of the published matrix."""
    linear = srgb_to_linear(torch.from_numpy(srgb.astype(np.float64) / 255))
    matrix = torch.tensor(np.linalg.inv(np.array(hdr.TO_SRGB[hdr.P3])))
    return (linear_to_srgb((linear @ matrix.T).clamp(0, 1)).numpy() * 255 + 0.5).astype(np.uint8)


def signal(transfer: int, levels: np.ndarray | None = None) -> np.ndarray:
    """The chart, or other sRGB levels, as a phone codes it in HLG or PQ, uint16: found by searching the inverse of each curve."""
    linear = video_linear(chart() if levels is None else levels)
    wide = np.maximum(linear @ np.linalg.inv(np.array(hdr.TO_SRGB[hdr.REC2020])).T, 0) * hdr.REFERENCE_WHITE
    steps = np.linspace(0, 1, 1 << 16)
    if transfer == hdr.PQ:
        coded = np.interp(wide, hdr.pq_to_light(steps), steps)
    else:  # BT.2100: undo the system gamma on the luminance, then the curve channel by channel
        luminance = (wide @ hdr.LUMA_2020)[..., None]
        scene = wide / hdr.HLG_PEAK * np.maximum(luminance / hdr.HLG_PEAK, 1e-9) ** (1 / hdr.HLG_GAMMA - 1)
        curve = np.where(steps <= 0.5, steps**2 / 3, (np.exp((steps - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        coded = np.interp(scene, curve, steps)
    return (coded * 65535).round().astype(np.uint16)


def video_linear(levels: np.ndarray) -> np.ndarray:
    unit = levels / 255
    return np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)


def in_8_bits(levels: np.ndarray) -> np.ndarray:
    return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def save(path: Path, image, **options) -> Path:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def turned(path: Path, tag: int, **options) -> Path:
    """The chart stored turned, with the EXIF orientation that turns it back."""
    image = Image.fromarray(chart())
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = image.getexif()
    exif[0x0112] = tag
    return save(path, image.transpose(stored[tag]), exif=exif, **options)


def with_hole(path: Path) -> Path:
    """An opaque chart with a transparent patch under which the colour is bright red."""
    pixels = np.dstack([chart(), np.full(GREY.shape, 255, np.uint8)])
    pixels[:32, :32] = (255, 0, 0, 0)
    return save(path, pixels)


def png_with_texts(path: Path) -> Path:
    """A PNG with 1.6 MB of XMP in plain text and 3 MB more in a compressed text."""
    content = buffers.BytesIO()
    Image.fromarray(chart()).save(content, "png")

    raw = content.getvalue()
    texts = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * 1_600_000)
    texts += png_chunk(b"zTXt", b"note\0\0" + zlib.compress(b"y" * 3_000_000))
    path.write_bytes(raw[:33] + texts + raw[33:])
    return path


def avif(path: Path, pixels: np.ndarray, primaries: int, transfer: int, **options) -> Path:
    """An AVIF that states other colours than Pillow writes into it."""
    content = save(path, pixels, quality=95, **options).read_bytes()
    assert content.count(b"colrnclx") == 1
    at = content.index(b"colrnclx") + 8
    path.write_bytes(content[:at] + struct.pack(">2H", primaries, transfer) + content[at + 4 :])
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_tagged(path: Path, image, primaries: int, transfer: int, full: int = 1, **options) -> Path:
    """A PNG with a chunk cICP behind its header."""
    content = save(path, image, **options).read_bytes()
    path.write_bytes(content[:33] + png_chunk(b"cICP", bytes((primaries, transfer, 0, full))) + content[33:])
    return path


def heic(path: Path, name: str = "turned") -> Path:
    pytest.importorskip("pi_heif")
    path.write_bytes((ROOT / f"tests/pictures/{name}.heic").read_bytes())
    return path


def broken_library(folder: Path, monkeypatch, name: str, code: str) -> None:
    """Puts a library before the installed one that runs ``code`` where it is imported."""
    (folder / "broken").mkdir(exist_ok=True)
    (folder / f"broken/{name}.py").write_text(code)
    monkeypatch.syspath_prepend(folder / "broken")
    monkeypatch.delitem(sys.modules, name, raising=False)


def lab(path: Path) -> Path:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.fromarray(chart()), *profiles, outputMode="LAB")
    return save(path, image)


# row of the page → (how the file is made, what must come out, levels of tolerance)
KINDS = {
    "JPEG": (lambda p: save(p / "a.jpg", chart(), quality=95), chart(), 4),
    "JPEG, turned by its EXIF tag": (lambda p: turned(p / "a.jpg", 6, quality=95), chart(), 4),
    "JPEG, CMYK": (lambda p: save(p / "a.jpg", Image.fromarray(chart()).convert("CMYK"), quality=95), chart(), 6),
    "JPEG or PNG, Display P3 profile": (lambda p: save(p / "a.png", in_p3(chart()), icc_profile=p3_profile()), chart(), 2),
    "HEIC, HEIF": (lambda p: heic(p / "a.heic"), np.rot90(chart(), -1), 4),
    "HEIC in HLG": (lambda p: heic(p / "a.heic", "hlg"), chart(), 6),
    "HEIC in Display P3 without a profile": (lambda p: heic(p / "a.heic", "p3"), chart(), 5),
    "AVIF": (lambda p: save(p / "a.avif", chart(), quality=95), chart(), 5),
    "AVIF in Display P3 without a profile": (lambda p: avif(p / "a.avif", in_p3(chart()), hdr.P3, 13), chart(), 6),
    # 8 bits of a picture made for 10 are coarse in the darkest channel
    "AVIF in HLG": (lambda p: avif(p / "a.avif", in_8_bits(signal(hdr.HLG)), hdr.REC2020, hdr.HLG), chart(), 8),
    "WebP": (lambda p: save(p / "a.webp", chart(), lossless=True), chart(), 0),
    "BMP": (lambda p: save(p / "a.bmp", chart()), chart(), 0),
    "PNG, 8 bit": (lambda p: save(p / "a.png", chart()), chart(), 0),
    "PNG that states Display P3": (lambda p: png_tagged(p / "a.png", in_p3(chart()), hdr.P3, 13), chart(), 2),
    "PNG or TIFF, 16-bit grey": (lambda p: save(p / "a.png", Image.fromarray(GREY.astype(np.uint16) * 257)), GREY3, 0),
    "PNG or TIFF, 16-bit RGB": (
        lambda p: tifffile.imwrite(p / "a.tif", chart().astype(np.uint16) * 257, photometric="rgb") or p / "a.tif",
        chart(),
        1,
    ),
    "TIFF, 32-bit float": (
        lambda p: tifffile.imwrite(p / "a.tif", chart().astype(np.float32) / 255, photometric="rgb") or p / "a.tif",
        chart(),
        0,
    ),
    "TIFF, CIE Lab": (lambda p: lab(p / "a.tif"), chart(), 9),
    "Grey": (lambda p: save(p / "a.png", GREY), GREY3, 0),
    "Palette, GIF": (lambda p: save(p / "a.gif", Image.fromarray(chart()).quantize(6)), chart(), 2),
    "PNG with megabytes of XMP": (lambda p: png_with_texts(p / "a.png"), chart(), 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_comes_out_upright_and_in_srgb(kind, tmp_path):
    make, truth, tolerance = KINDS[kind]
    image = io.read_image(make(tmp_path))
    assert image.dtype == np.uint8 and image.shape == truth.shape
    assert abs(patches(image) - patches(truth)).max() <= tolerance


@pytest.mark.parametrize("tag", range(2, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_every_exif_orientation_is_turned_back_in_every_format(tag, ending, tmp_path):
    image = io.read_image(turned(tmp_path / f"a.{ending}", tag, **({"quality": 95} if ending == "jpg" else {})))
    assert image.shape == chart().shape and abs(patches(image) - patches(chart())).max() <= (40 if ending == "webp" else 4)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_deep_grey_keeps_its_steps_in_textures_and_visibility(ending, tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    path = save(tmp_path / f"deep.{ending}", ramp)
    assert np.abs(io.read_texture(path)[1].numpy() - ramp / 65535).max() < 1e-4
    assert np.abs(io.read_visibility(path)[0].numpy() - ramp / 65535).max() < 1e-4
    save(tmp_path / "float.tif", (ramp / 65535).astype(np.float32))
    assert np.abs(io.read_texture(tmp_path / "float.tif")[2].numpy() - ramp / 65535).max() < 1e-6


@pytest.mark.parametrize("values, said", [(np.nan, "not finite"), (12.5, "from 0 to 12.5"), (-3, "from -3")])
@pytest.mark.parametrize("channels", [1, 3])
def test_float_pictures_without_a_known_white_are_refused_with_their_range(values, said, channels, tmp_path):
    pixels = np.zeros((32, 32, 3) if channels == 3 else (32, 32), np.float32)
    pixels[3, 5] = values
    tifffile.imwrite(tmp_path / "f.tif", pixels, photometric="rgb" if channels == 3 else "minisblack")
    with pytest.raises(InputError, match=f"f.tif holds .*{said}"):
        io.read_image(tmp_path / "f.tif")


def test_a_display_p3_profile_is_converted_not_reinterpreted(tmp_path):
    path = save(tmp_path / "p3.png", in_p3(chart()), icc_profile=p3_profile())
    ignored = abs(patches(np.asarray(Image.open(path))) - patches(chart())).max()
    assert ignored > 10 and abs(patches(io.read_image(path)) - patches(chart())).max() <= 2
    save(path, chart(), icc_profile=b"no profile at all")
    assert np.array_equal(io.read_image(path), chart())


def test_a_profile_goes_before_the_numbers_of_h273_and_they_before_nothing(tmp_path):
    profile = {"icc_profile": p3_profile()}
    stated_wrongly = png_tagged(tmp_path / "a.png", in_p3(chart()), hdr.REC2020, hdr.PQ, **profile)
    assert abs(patches(io.read_image(stated_wrongly)) - patches(chart())).max() <= 2
    stated_wrongly = avif(tmp_path / "a.avif", in_p3(chart()), hdr.REC2020, hdr.PQ, **profile)
    assert abs(patches(io.read_image(stated_wrongly)) - patches(chart())).max() <= 6
    damaged = png_tagged(tmp_path / "b.png", in_p3(chart()), hdr.P3, 13, icc_profile=b"no profile at all")
    assert abs(patches(io.read_image(damaged)) - patches(chart())).max() <= 2


def test_grey_of_16_bits_follows_the_curve_that_its_file_states(tmp_path):
    levels = np.repeat(np.array(((30,), (90,), (200,))), 3, 1)
    coded = signal(hdr.HLG, levels)[:, :1].repeat(32, 0).repeat(32, 1)
    image = io.read_image(png_tagged(tmp_path / "a.png", Image.fromarray(coded), hdr.REC2020, hdr.HLG))
    assert abs(image[[16, 48, 80], 16].astype(int) - levels).max() <= 2


@pytest.mark.parametrize("primaries, transfer, full", [(11, 13, 1), (1, 8, 1), (1, 13, 0)])
def test_stated_colours_that_are_not_converted_are_refused_with_their_numbers(primaries, transfer, full, tmp_path):
    paths = [png_tagged(tmp_path / "a.png", chart(), primaries, transfer, full)]
    paths += [avif(tmp_path / "a.avif", chart(), primaries, transfer)] if full else []  # the decoder undoes an AVIF's range
    for path in paths:
        with pytest.raises(InputError, match=f"{path.name} states colours .*primaries {primaries}, curve {transfer}"):
            io.read_image(path)


def test_a_file_whose_colour_tag_is_damaged_is_read_as_if_it_had_none(tmp_path):
    content = save(tmp_path / "a.avif", chart(), quality=95).read_bytes()
    assert colour_tags.read_tag(tmp_path / "a.avif", "AVIF") == (1, 13, True)
    for name in (b"pitm", b"ipco", b"ipma", b"colr"):
        for cut in (content[: content.index(name) + 5], content.replace(name, b"free")):
            (tmp_path / "b.avif").write_bytes(cut)
            assert colour_tags.read_tag(tmp_path / "b.avif", "AVIF") is None
    (tmp_path / "b.png").write_bytes(save(tmp_path / "a.png", chart()).read_bytes()[:20])
    assert colour_tags.read_tag(tmp_path / "b.png", "PNG") is None


def test_a_transparent_photo_stands_on_neutral_grey(tmp_path):
    image = io.read_image(with_hole(tmp_path / "hole.png"))
    assert image[16, 16].tolist() == [128] * 3 and np.array_equal(image[:, 40:], chart()[:, 40:])


@pytest.mark.parametrize("size", [None, 64])
def test_colour_under_a_transparent_hole_of_a_texture_is_unseen(tmp_path, size):
    pixels = np.full((128, 128, 4), (190, 140, 120, 255), np.uint8)
    pixels[32:64, 32:64] = (255, 0, 0, 0)
    path = save(tmp_path / "t.png", pixels)
    texture, opacity = io.read_layers(path, size)
    hole = slice(36 * (size or 128) // 128, 60 * (size or 128) // 128)
    assert texture[:, hole, hole].max() == 0 and opacity[:, hole, hole].max() == 0
    seen = (opacity > 0.02)[0]
    assert (texture[0] - 190 / 255).abs()[seen].max() < 0.02  # no red bleeds over the rim
    person = read_person((path,), "texture", None, 128)
    visibility = person.visibility
    assert person.facts["kind"] == "texture" and visibility[..., 36:60, 36:60].max() == 0 and visibility[..., 80:, :].min() == 1
    io.write_image(torch.full((1, 128, 128), 0.5), io.visibility_path(path))
    assert read_person((path,), "texture", None, 128).visibility[..., 36:60, 36:60].max() == 0


def test_what_a_file_is_its_content_says_not_its_ending(tmp_path):
    (tmp_path / "a.png").write_bytes(save(tmp_path / "b.jpg", chart(), quality=95).read_bytes())
    assert abs(patches(io.read_image(tmp_path / "a.png")) - patches(chart())).max() <= 4


def test_a_heic_photo_without_its_library_is_named_as_such(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    (tmp_path / "me.heic").write_bytes((ROOT / "tests/pictures/turned.heic").read_bytes())
    with pytest.raises(InputError, match="me.heic is a HEIC photo.*pip install pi-heif"):
        io.read_image(tmp_path / "me.heic")


def test_a_heic_library_that_is_broken_is_named_with_its_cause(tmp_path, monkeypatch):
    broken_library(tmp_path, monkeypatch, "pi_heif", "raise OSError('libheif.so.1: no such file')")
    (tmp_path / "me.heic").write_bytes((ROOT / "tests/pictures/turned.heic").read_bytes())
    with pytest.raises(InputError, match="me.heic is a HEIC photo.*cannot be loaded .OSError: libheif.so.1.*pip install pi-heif"):
        io.read_image(tmp_path / "me.heic")


FILE_OF_MODE = {
    "1": ("png", lambda grey: Image.fromarray(grey > 127)),
    "L": ("png", Image.fromarray),
    "LA": ("png", lambda grey: Image.merge("LA", (Image.fromarray(grey), Image.new("L", grey.shape[::-1], 255)))),
    "P": ("png", lambda grey: Image.fromarray(grey).convert("P")),
    "RGB": ("png", lambda grey: Image.fromarray(grey).convert("RGB")),
    "RGBA": ("png", lambda grey: Image.fromarray(grey).convert("RGBA")),
    "I;16": ("png", lambda grey: Image.fromarray(grey.astype(np.uint16) * 257)),
    "I;16 in TIFF": ("tif", lambda grey: Image.fromarray(grey.astype(np.uint16) * 257)),
    "F": ("tif", lambda grey: Image.fromarray(grey.astype(np.float32) / 255)),
    "float RGB": ("tif", lambda grey: np.repeat(grey[..., None].astype(np.float32) / 255, 3, 2)),
    "16-bit RGB": ("tif", lambda grey: np.repeat(grey[..., None].astype(np.uint16) * 257, 3, 2)),
    "CMYK": ("tif", lambda grey: Image.fromarray(grey).convert("CMYK")),
    "LAB": ("tif", lambda grey: grey),
}


@pytest.mark.parametrize("mode", FILE_OF_MODE)
def test_photos_of_every_mode_are_reduced_by_a_whole_factor(mode, tmp_path):
    grey = np.zeros((64, 90), np.uint8)
    grey[:, 45:] = 255
    ending, make = FILE_OF_MODE[mode]
    path = tmp_path / f"large.{ending}"
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        save(path, ImageCms.profileToProfile(Image.fromarray(grey).convert("RGB"), *profiles, outputMode="LAB"))
    elif isinstance(made := make(grey), np.ndarray):
        tifffile.imwrite(path, made, photometric="rgb")
    else:
        save(path, made)
    image = pictures.photo(path, reduce_to=1500)
    assert image.shape == (32, 45, 3) and image[16, 10].max() <= 2 and image[16, 35].min() >= 253
    assert 110 < image[16, 22].mean() < 145  # the middle column is half of each: averaged, not dropped


def test_a_colour_that_means_transparent_is_taken_away_before_the_photo_is_reduced(tmp_path):
    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[:, 31:] = (255, 0, 0)
    path = save(tmp_path / "key.png", pixels, transparency=(255, 0, 0))
    image = io.read_image(path, reduce_to=1100)
    assert image[16, 20].tolist() == [pictures.BACKGROUND] * 3 and image[16, 15, 0] > image[16, 20, 0] + 30
    assert np.ptp(image[16, 15].astype(int)) <= 1  # no red bleeds into the white


def test_large_photos_are_reduced_in_bounded_memory_and_larger_ones_refused(tmp_path):
    code = (
        "import resource, sys; from studiolike import pictures;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "image = pictures.photo(sys.argv[1]);"
        "print(*image.shape, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    Image.new("RGB", (8000, 6000), (200, 120, 90)).save(tmp_path / "large.jpg")  # 48 megapixels
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "large.jpg")], capture_output=True, text=True, cwd=ROOT)
    height, width, _, grown = map(int, done.stdout.split())
    assert (height, width) == (3000, 4000) and grown < 150
    Image.new("1", (16000, 8000)).save(tmp_path / "larger.png")
    with pytest.raises(InputError, match="16000×8000; scale it below"):
        io.read_image(tmp_path / "larger.png")


@pytest.mark.parametrize("ending, least", [("jpg", 38), ("webp", 80), ("png", 80), ("tif", 80), ("avif", 36)])
def test_results_lose_next_to_nothing_in_any_format(ending, least, tmp_path):
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    texture = (resize(noise[None, :, :16, :16], 64)[0] * 0.9 + 0.1 * noise).mul(255).round() / 255
    io.write_image(texture, tmp_path / f"t.{ending}")
    error = (io.read_texture(tmp_path / f"t.{ending}") - texture).square().mean()
    assert -10 * torch.log10(error + 1e-12) > least


def test_matrices_of_wide_primaries_are_those_of_their_chromaticities():
    white = np.array((0.3127, 0.3290))
    corners = {
        hdr.REC709: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
        hdr.REC2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
        hdr.P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    }

    def to_xyz(xy):
        columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in xy]).T
        return columns * np.linalg.solve(columns, (white[0] / white[1], 1, (1 - white.sum()) / white[1]))

    for primaries in (hdr.REC2020, hdr.P3):
        expected = np.linalg.solve(to_xyz(corners[hdr.REC709]), to_xyz(corners[primaries]))
        np.testing.assert_allclose(hdr.TO_SRGB[primaries], expected, atol=2e-4)


def page_rows(heading: str) -> set[str]:
    text = (ROOT / "book/what-you-can-put-in.md").read_text()
    table = text.split(f"## {heading}\n", 1)[1].split("\n## ")[0]
    return {row.split("|")[1].strip() for row in re.findall(r"^\|.*", table, re.M)[2:]}


def test_the_page_names_every_kind_of_picture_that_is_tested_and_no_other():
    assert page_rows("Pictures") == {*KINDS, "Transparent", "12 to 48 megapixels", "More than 100 megapixels"}


def test_heif_is_told_from_video_by_its_brand():
    assert pictures.container(b"\0\0\0\x18ftyp3gp4") == "3GP" and pictures.container(b"\0\0\0\x18ftypqt  ") == "MP4"
    assert pictures.container(b"\0\0\0\x18ftypheic") is None and pictures.container(b"\0\0\0\x18ftypM4A ") is None
