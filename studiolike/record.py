"""How the file of a result says what of it was seen, invented and borrowed.

What a camera saw keeps the phone's detail. Elsewhere the generator paints what is likely, and if a user lets it, the detail of
hair, ears and skin is borrowed from the studio texture of somebody else, see `detail.exemplars`. Light and colour are the
networks' everywhere. Who gets such a picture cannot see that, so its file tells: in a *record* for programs (JSON), in a
sentence for people, and by the term that the press has for it (IPTC Digital Source Type, in XMP).
"""

from __future__ import annotations

import base64
import binascii
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from . import __version__, io, layout, outline
from .image import resize
from .json_files import parse_json
from .pictures import head

SHARES = ("face_seen", "face_partly", "face_unseen", "head_seen")
SEEN, PARTLY = 0.5, 0.05  # visibility from which a texel counts as seen, and as seen in part
RECORD = "studiolike"  # name of the record: PNG text field, glTF extra
COMMENT = "utf-16-le"  # how the comment of EXIF that every format keeps is written
UNIT, FARTHEST = 0.01, 4.0  # cm: what a shape is rounded to, and how far from the base head a point of it may lie
COUNTED = 256  # texels along a side at which shares are counted
PACKET = (  # begins and ends as XMP asks, with the identifier that every packet has
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
    ' rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType="'
    'http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"/></rdf:RDF></x:xmpmeta>'
    '<?xpacket end="w"?>'
)


def shares(visibility: Tensor) -> dict[str, float]:
    """How much of the face was seen, seen in part, and not seen.

    Args:
        visibility: ``(1, N, N)`` in [0, 1].
    Returns:
        ``face_seen``, ``face_partly``, ``face_unseen``: shares of the face's area in the texture, together 1; ``head_seen``:
        the share of the whole map that was seen, well or in part.
    """
    visibility = resize(visibility[None].float().cpu(), min(COUNTED, visibility.shape[-1]))[0]
    face = layout.region_mask("face", visibility.shape[-1])
    seen, partly = (float(((visibility >= level) * face).sum() / face.sum()) for level in (SEEN, PARTLY))
    head = float((visibility >= PARTLY).float().mean())
    return dict(zip(SHARES, (seen, partly - seen, 1 - partly, head), strict=True))


def record(visibility: Tensor, sources: Tensor, settings: dict[str, Any], protocol: str | None) -> dict[str, Any]:
    """What the file of a result says of it.

    Args:
        visibility: ``(1, N, N)`` in [0, 1] of the input. sources: ``(3, M, M)``, `detail.origin` of the result. settings: what
            else it was made with, among them ``guided``. protocol: of the weights; None: nobody knows.
    Returns:
        ``version``, ``protocol``, ``seen`` (see `shares`, three digits), ``borrowed`` (whether anything is), and the settings.
    """
    seen = {name: round(value, 3) for name, value in shares(visibility).items()}
    borrowed = bool(sources[2].max() >= PARTLY)
    return {"version": __version__, "protocol": protocol, "seen": seen, "borrowed": borrowed, **settings}


def sentence(made: dict[str, Any]) -> str:
    """What a person should know of a result with this `record`; plain ASCII."""
    seen, guided = made["seen"], made["guided"]
    said = (
        f"{seen['face_seen']:.0%} of the face was seen well, {seen['face_partly']:.0%} in part, and {seen['face_unseen']:.0%} "
        f"not at all; of the whole head {1 - seen['head_seen']:.0%} was not seen. Light and colour are computed everywhere"
    )
    if made.get("keep_tone"):
        left = "what is evenly lit, and the nose, are largely left, and " if guided and not made.get("detail_steps") else ""
        said += f", but {left}skin is kept about as light as the picture shows it, a little redder"
    said += ". "
    if not guided:
        return said + "All detail is invented; none is from the photograph."
    if made["borrowed"]:
        return said + "What was not seen is invented, and its fine detail is borrowed from the texture of somebody else."
    return said + "What was not seen is invented." if seen["head_seen"] < 1 else said.strip()


def write_marked(texture: Tensor, path: Path, made: dict[str, Any] | None, shape: Tensor | None = None) -> None:
    """Write a texture ``(3, N, N)`` in [0, 1] with its `record`, and with the shape of the head behind it.

    A PNG has the record as the text field ``studiolike``, beside the usual ``Software`` and ``Description``; JPEG, WebP and TIFF
    have it as the comment of their EXIF. All of them name the source type in XMP. A BMP can say nothing.

    Args:
        made: the record of a result; None: the texture is a camera's, and there is nothing to tell but the shape.
        shape: see `capture.head_shape`; it stands in the record as ``shape``, see `read_shape`.
    Raises:
        OutputError: see `io.write_image`.
    """
    software, told = f"studiolike {__version__}", sentence(made) if made else "Texture of a face, unwrapped from photographs."
    text = json.dumps(
        (made or {"version": __version__}) | ({} if shape is None else {"shape": shape_text(shape)}), sort_keys=True
    )
    packet = PACKET if made else None
    marks: dict[str, Any] = {}
    form = Image.registered_extensions().get(path.suffix.lower())
    if form == "PNG":
        fields = PngInfo()
        for name, value in (("Software", software), ("Description", told), (RECORD, text)):
            fields.add_text(name, value)
        if packet:
            fields.add_itxt("XML:com.adobe.xmp", packet)
        marks = {"pnginfo": fields}
    elif form in ("JPEG", "WEBP", "TIFF"):
        exif = Image.Exif()
        exif[ExifTags.Base.Software], exif[ExifTags.Base.ImageDescription] = software, told
        exif[ExifTags.Base.XPComment] = text.encode(COMMENT)
        marks = {"exif": exif}
        if packet and form == "TIFF":
            exif[ExifTags.Base.XMLPacket] = packet.encode()
        elif packet:
            marks["xmp"] = packet.encode()
    io.write_image(texture, path, **marks)


def write_visibility(visibility: Tensor, path: Path, texture: Path) -> None:
    """Write the visibility map ``(1, N, N)`` in [0, 1] of a file ``texture``, whose ending it tells: see `visibility_beside`.

    Raises:
        OutputError: see `io.write_image`.
    """
    fields = PngInfo()
    fields.add_text("Software", f"studiolike {__version__}")
    fields.add_text(RECORD, json.dumps({"version": __version__, "texture": texture.suffix.lower()}))
    io.write_image(visibility, path, pnginfo=fields)


def visibility_beside(path: Path) -> Path | None:
    """The visibility map that lies beside a texture file and speaks for it; None if there is none.

    ``me.visibility.png`` may have been written with ``me.png``, and the photo ``me.jpg`` lie beside the two. A map of ours tells
    the ending of its texture. One that tells nothing speaks for ``me.png``, and for another ``me`` only where that is missing.
    """
    beside = io.visibility_path(path)
    if not beside.is_file():
        return None
    ending = _read(beside).get("texture")
    if isinstance(ending, str):
        return beside if ending == path.suffix.lower() else None
    first = path.with_suffix(".png")
    return beside if path.suffix.lower() == ".png" or not first.is_file() else None


def tells_texture(path: Path) -> bool:
    """Whether a picture file says that it is a texture: `write_marked` wrote it."""
    return isinstance(_read(path, software="studiolike ").get("version"), str)


def read_record(path: Path) -> dict[str, Any] | None:
    """The `record` in a picture file, without the shape; None if it has none, or one that is not whole, or is no picture."""
    made = _read(path)
    made.pop("shape", None)
    try:
        whole = all(isinstance(made["seen"][name], float) for name in SHARES)
        return made if whole and all(isinstance(made[name], bool) for name in ("borrowed", "guided")) else None
    except (KeyError, TypeError):
        return None


def read_shape(path: Path) -> Tensor | None:
    """The shape, see `capture.head_shape`, that a picture file tells; None if it tells none."""
    return shape_of(_read(path).get("shape"))


def _read(path: Path, software: str = "") -> dict[str, Any]:
    """What a picture file's record holds, whatever that is, if the file names a ``software`` that begins so. Never raises."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)  # NaN is no JSON, and the record may have to be written again

    try:
        head(path)  # or to open a pipe would wait for ever
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
            text, made_with = picture.info.get(RECORD), picture.info.get("Software")
            if text is None:
                exif = picture.getexif()
                text = bytes(exif[ExifTags.Base.XPComment]).decode(COMMENT)
                made_with = exif.get(ExifTags.Base.Software)
            made = parse_json(text, parse_constant=refuse)
            return made if isinstance(made, dict) and str(made_with or "").startswith(software) else {}
    except Exception:  # decoders raise whatever they please; who reads the picture itself says what is wrong with it
        return {}


def shape_text(shape: Tensor) -> str:
    """A shape, see `capture.head_shape`, as text: tenths of a millimetre from the base head, little-endian int16, base64."""
    steps = ((shape.double().cpu() - outline.rest_shape()[: len(shape)]) / UNIT).round().clamp(-FARTHEST / UNIT, FARTHEST / UNIT)
    return base64.b64encode(steps.numpy().astype("<i2").tobytes()).decode("ascii")


def shape_of(text: object) -> Tensor | None:
    """What `shape_text` wrote, float32; None if it is not the shape of a face or head."""
    rest = outline.rest_shape()
    try:
        steps = np.frombuffer(base64.b64decode(text, validate=True), "<i2")  # type: ignore[arg-type]
    except (TypeError, ValueError, binascii.Error):
        return None
    if steps.size not in (3 * outline.POINTS, rest.numel()) or np.abs(steps.astype(np.int64)).max() > FARTHEST / UNIT:
        return None
    offset = torch.from_numpy(steps.astype(np.float32)).view(-1, 3)
    return rest[: len(offset)] + offset * UNIT
