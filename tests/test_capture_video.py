"""Clips as phones record them: upright, in sRGB, evenly sampled in bounded time; each frame used or left out with a reason."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from test_capture_fusion import frame_points
from test_pictures import broken_library, chart, page_rows, patches, signal

from studiolike import hdr
from studiolike.avatar.movie import check_movie
from studiolike.capture import ContactSheet, capture_photos, capture_video, is_video, read_frames
from studiolike.capture import video as video_module
from studiolike.cli import main
from studiolike.doctor import report
from studiolike.errors import CaptureError, InputError, MissingExtra, install_command

av = pytest.importorskip("av")
av.logging.set_level(av.logging.PANIC)

FRONT = [frame_points()]


def clip(
    path, images, codec="libx264", form="yuv420p", times=None, matrix="bt709", full=False, tags=None, sound=False, **options
):
    """Write uint8 RGB or uint16 images; the matrix and the range are what is really used, ``tags`` what is written down."""
    options = {"crf": "4", "x265-params": "log-level=none:crf=4:pools=none:frame-threads=1:bframes=0"} | options
    # without B-frames: x265 learns what to take off the decoding times from the first frame beyond those that it may reorder,
    # and in a clip of two there is none; the times are then whatever lay in memory, which the muxer takes or not
    with av.open(str(path), "w", **options.pop("container", {})) as media:
        stream = media.add_stream(codec, rate=30, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = form
        stream.codec_context.time_base = Fraction(1, 30)
        for name, value in (tags or {"colorspace": 1, "color_range": 1}).items():
            setattr(stream.codec_context, name, value)
        tone = media.add_stream("aac", rate=8000, layout="mono") if sound else None
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "rgb24" if image.dtype == np.uint8 else "rgb48le")
            graph = av.filter.Graph()
            steps = [
                graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 30)),
                graph.add("scale", f"out_color_matrix={matrix}:out_range={'full' if full else 'limited'}:flags=accurate_rnd"),
                graph.add("format", f"pix_fmts={form}"),
                graph.add("buffersink"),
            ]
            graph.link_nodes(*steps).configure()
            graph.push(frame)
            coded = graph.pull()
            coded.pts, coded.time_base = (times[number] if times else number), Fraction(1, 30)
            for packet in stream.encode(coded):
                media.mux(packet)
        if tone:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate = 8000
            for packet in [*tone.encode(silence), *tone.encode(None)]:
                media.mux(packet)
        for packet in stream.encode(None):
            media.mux(packet)
    return path


def shades(count: int) -> list[np.ndarray]:
    return [np.full((200, 200, 3), (60 + 10 * k % 160, 90, 120), np.uint8) for k in range(count)]


def high_range(path, transfer):
    tags = {"color_trc": transfer, "color_primaries": 9, "colorspace": 9, "color_range": 1}
    return clip(path, [signal(transfer)] * 2, "libx265", "yuv420p10le", matrix="bt2020", tags=tags)


KINDS = {
    "MP4, H.264": (lambda p: clip(p / "v.mp4", [chart()] * 2), 4),
    "MP4, full range": (
        lambda p: clip(p / "v.mp4", [chart()] * 2, full=True, tags={"colorspace": 1, "color_range": 2}),
        4,
    ),
    "MP4, BT.601": (
        lambda p: clip(p / "v.mp4", [chart()] * 2, matrix="bt601", tags={"colorspace": 6, "color_range": 1}),
        4,
    ),
    "MP4 or MOV, HEVC of 10 bits": (lambda p: clip(p / "v.mp4", [chart()] * 2, "libx265", "yuv420p10le"), 4),
    "HEVC in HLG": (lambda p: high_range(p / "v.mp4", hdr.HLG), 6),
    "HEVC in PQ, HDR10": (lambda p: high_range(p / "v.mp4", hdr.PQ), 6),
    "WebM, VP9 or VP8": (
        lambda p: clip(p / "v.webm", [chart()] * 2, "libvpx", matrix="bt601", tags={"color_range": 1}, b="4M"),
        8,
    ),
    "3GP": (lambda p: clip(p / "v.3gp", [chart()] * 2, container={"format": "3gp"}), 4),
    "AVI": (lambda p: clip(p / "v.avi", [chart()] * 2, "mjpeg", "yuvj420p", matrix="bt601", full=True, tags={}), 10),
    "Sound in the file": (lambda p: clip(p / "v.mp4", [chart()] * 2, sound=True), 4),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_clip_comes_out_in_srgb(kind, tmp_path):
    make, tolerance = KINDS[kind]
    path = make(tmp_path)
    frames = list(read_frames(path, 2))
    assert len(frames) == 2 and is_video(path)
    assert all(frame.dtype == np.uint8 and frame.shape == chart().shape for frame in frames)
    assert abs(patches(frames[0]) - patches(chart())).max() <= tolerance
    assert is_video(path.rename(tmp_path / "renamed.bin")) and len(list(read_frames(tmp_path / "renamed.bin"))) == 2


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_clip_held_sideways_is_turned_upright(turn, tmp_path):
    path = clip(tmp_path / "v.mp4", [np.ascontiguousarray(np.rot90(chart(), turn // 90))] * 2)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"tkhd") + 4 + 40  # version 0: the matrix stands 40 bytes into the box
    cos, sin = round(np.cos(np.radians(turn))), round(np.sin(np.radians(turn)))
    matrix = (cos, sin, 0, -sin, cos, 0, 0, 0, 16384)
    content[at : at + 36] = b"".join(
        int(v * (65536 if k < 8 else 65536)).to_bytes(4, "big", signed=True) for k, v in enumerate(matrix)
    )
    path.write_bytes(content)
    (frame, _) = read_frames(path, 2)
    assert frame.shape == chart().shape and abs(patches(frame) - patches(chart())).max() <= 4


def test_frames_are_spread_evenly_in_time_also_at_a_variable_rate(tmp_path):
    even = clip(tmp_path / "even.mp4", shades(10))
    np.testing.assert_allclose([f[..., 0].mean() for f in read_frames(even, 4)], [60, 90, 120, 150], atol=3)
    times = [0, 1, 2, 3, 4, 5, 30, 60, 90, 120]  # a burst, then a frame a second
    uneven = clip(tmp_path / "uneven.mp4", shades(10), times=times)
    np.testing.assert_allclose([f[..., 0].mean() for f in read_frames(uneven, 5)], [60, 120, 130, 140, 150], atol=3)


def test_of_a_clip_too_dear_to_decode_the_frames_it_can_be_entered_at_are_used(tmp_path, monkeypatch):
    path = clip(tmp_path / "v.mp4", shades(40), g="10", sc_threshold="0")
    decoded = []
    monkeypatch.setattr(video_module, "DECODE_BUDGET", 200 * 200 * 10)
    wanted = video_module._wanted(list(range(40)), [0, 10, 20, 30], 7, 200 * 200)
    decoded = list(read_frames(path, 7))
    assert wanted == [0, 10, 20, 30] and len(decoded) == 4


def test_a_broken_tail_and_a_hole_cost_only_the_frames_in_them(tmp_path):
    path = clip(
        tmp_path / "v.mp4", [np.roll(chart(64), k, 1) for k in range(40)], g="5", container={"options": {"movflags": "faststart"}}
    )
    whole = path.read_bytes()
    (tmp_path / "tail.mp4").write_bytes(whole[: int(len(whole) * 0.6)])
    frames = list(read_frames(tmp_path / "tail.mp4", 20))
    assert 5 <= len(frames) < 20 and abs(patches(frames[0]) - patches(chart())).max() <= 6
    holed = bytearray(whole)
    holed[len(whole) // 2 : len(whole) // 2 + 400] = bytes(400)
    (tmp_path / "hole.mp4").write_bytes(holed)
    assert len(list(read_frames(tmp_path / "hole.mp4", 20))) >= 5


def test_things_that_are_no_video_are_refused_with_the_true_reason(tmp_path):
    def said(path):
        with pytest.raises(InputError) as refusal:
            list(read_frames(path))
        return str(refusal.value)

    (tmp_path / "text.mp4").write_bytes(b"not a video")
    assert "not a video in any known format" in said(tmp_path / "text.mp4")
    whole = clip(tmp_path / "v.mp4", shades(10)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    assert "its table of contents is missing" in said(tmp_path / "cut.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert "is empty" in said(tmp_path / "empty.mp4") and "no such file" in said(tmp_path / "none.mp4")
    with pytest.raises(InputError, match="at least one"):
        read_frames(tmp_path / "v.mp4", 0)
    with pytest.raises(InputError, match=r"v.mp4 is a video \(MP4\)"):
        capture_photos([tmp_path / "v.mp4"], 32, finder=lambda image: FRONT)


def test_without_its_library_a_video_names_the_extra(tmp_path, monkeypatch):
    path = clip(tmp_path / "v.mp4", shades(2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"studiolike\[capture\]"):
        read_frames(path)


def test_a_video_library_that_is_broken_is_named_with_its_cause(tmp_path, monkeypatch):
    path = clip(tmp_path / "v.mp4", shades(2))
    broken_library(tmp_path, monkeypatch, "av", "raise ValueError('numpy.dtype size changed')")
    with pytest.raises(MissingExtra, match=r"cannot be loaded \(ValueError: numpy.dtype size changed\).*studiolike\[capture\]"):
        read_frames(path)
    with pytest.raises(MissingExtra, match="PyAV for MP4.*cannot be loaded"):
        check_movie("turntable.mp4")


def test_the_doctor_imports_the_libraries_of_capture_and_tells_what_they_raise(tmp_path, monkeypatch):
    assert "\ncapture  complete\n" in report()
    broken_library(tmp_path, monkeypatch, "av", "raise ValueError('numpy.dtype size changed')")
    broken_library(tmp_path, monkeypatch, "pi_heif", "import nothing_of_this_name")
    (line,) = [line for line in report().splitlines() if line.startswith("capture")]
    assert "av (video; photos need no extra) cannot be loaded (ValueError: numpy.dtype size changed)" in line
    assert "pi-heif (HEIC photos) cannot be loaded (ModuleNotFoundError" in line and install_command("capture") in line


def finder(image: np.ndarray) -> list[np.ndarray]:
    """A face in every picture that is not nearly blue."""
    return [] if image[..., 2].mean() > 1.5 * image[..., 0].mean() else FRONT


def test_frames_without_a_face_are_left_out_and_named(tmp_path):
    grey, blue = np.full((200, 200, 3), 128, np.uint8), np.full((200, 200, 3), (40, 40, 200), np.uint8)
    path = clip(tmp_path / "v.mp4", [grey, blue, grey, grey])
    sheet = ContactSheet()
    result = capture_video(path, 32, frames=4, finder=finder, sheet=sheet)
    assert result.quality["frames"] == 3 and list(result.quality["left_out"]) == ["frame 2"] and len(sheet) == 4
    assert "face" in result.quality["left_out"]["frame 2"]


@pytest.fixture
def three_photos(tmp_path, monkeypatch):
    from studiolike.capture import video

    monkeypatch.setitem(video.capture_photos.__kwdefaults__, "finder", finder)
    for name, colour in {"one": (128,) * 3, "sky": (40, 40, 200), "two": (140,) * 3}.items():
        Image.new("RGB", (200, 200), colour).save(tmp_path / f"{name}.png")
    return [tmp_path / f"{name}.png" for name in ("one", "sky", "two")]


@pytest.mark.parametrize("ending", ["png", "html"])
def test_one_bad_photo_of_several_is_named_and_the_others_are_used(ending, tmp_path, three_photos, capsys):
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(60))
    sheet, out = tmp_path / f"contact.{ending}", tmp_path / "phone.png"
    code = main(
        ["capture", *map(str, three_photos), str(tmp_path / "cut.jpg"), "-o", str(out), "--size", "32", "--report", str(sheet)]
    )
    said = capsys.readouterr().err
    assert (
        code == 0 and out.is_file() and f"left out {three_photos[1]}: " in said and f"left out {tmp_path / 'cut.jpg'}: " in said
    )
    if ending == "html":
        text = sheet.read_text()
        assert "2 of 4 pictures used" in text and text.count("data:image/jpeg;base64,") == 4 and "<script" not in text
        assert "sky.png" in text and "http" not in text
    else:
        assert min(Image.open(sheet).size) > 200


def test_if_no_photo_can_be_used_the_contact_sheet_is_still_written(tmp_path, three_photos, capsys):
    sheet, out = tmp_path / "contact.html", tmp_path / "phone.png"
    code = main(["capture", str(three_photos[1]), "-o", str(out), "--size", "32", "--report", str(sheet)])
    lines = capsys.readouterr().err.splitlines()
    assert code == 2 and not out.exists() and "0 of 1" in sheet.read_text()
    assert len(lines) == 2 and lines[0] == f"wrote {sheet}" and lines[1].startswith("studiolike: no face")


def test_two_videos_or_a_video_among_photos_are_refused_as_such(tmp_path, three_photos, capsys):
    path = clip(tmp_path / "v.3gp", shades(2), container={"format": "3gp"})
    assert main(["capture", str(path), str(three_photos[0]), "-o", str(tmp_path / "o.png")]) == 2
    assert "v.3gp is a video: give one video alone" in capsys.readouterr().err


def test_all_refused_pictures_are_told_with_their_reasons():
    blue = np.full((200, 200, 3), (40, 40, 200), np.uint8)
    with pytest.raises(CaptureError, match="none of the 2 pictures can be used: picture 1: no face.*picture 2: no face"):
        capture_photos([blue, blue], 32, finder=finder)


def test_the_page_names_every_kind_of_clip_that_is_tested_and_no_other():
    assert page_rows("Videos") == {*KINDS, "Held sideways", "Variable frame rate", "4K at 60 frames", "Damaged or cut off"}
