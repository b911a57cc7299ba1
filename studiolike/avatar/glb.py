"""glTF 2.0 binary files (Khronos Group, *glTF 2.0 Specification*, 2021), written directly.

One mesh, one material, embedded PNGs: the colours, and if wanted a normal map with the tangents it stands on. In a
GLB file everything is little-endian and every chunk starts on a multiple of four bytes. glTF wants metres, y up and the
front along +z; the layout's v already runs down as glTF's does.
"""

from __future__ import annotations

import io as bytes_io
import json
import os
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .. import io
from ..errors import InputError
from ..image import from_bytes, to_bytes
from ..json_files import parse_json
from ..record import RECORD
from .mesh import HeadMesh, tangents

MAGIC, VERSION, JSON_CHUNK, BIN_CHUNK = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
FLOAT, UNSIGNED_INT = 5126, 5125
ARRAY_BUFFER, ELEMENT_BUFFER = 34962, 34963
REPEAT, CLAMP, LINEAR, MIPMAPS = 10497, 33071, 9729, 9987
CM = 0.01  # glTF's unit is the metre
OPTIMISED = 1024  # texels up to which a PNG is made as small as it gets


def write_glb(
    mesh: HeadMesh, texture: Tensor, path: str | os.PathLike, normal_map: Tensor | None = None, made: dict | None = None
) -> Path:
    """Write a textured head as one ``.glb`` file.

    Args:
        mesh: the head, in centimetres; written in metres.
        texture: ``(3, H, W)`` in [0, 1], sRGB, stored as an 8-bit PNG inside the file.
        path: where to write; the same input gives the same bytes.
        normal_map: ``(3, H, W)`` in [0, 1] of `relief.normal_map`; None: the surface is as smooth as the mesh.
        made: `record.record` of the texture, kept as an extra of the file's asset.
    Returns:
        The path.
    Raises:
        InputError: a texture of another shape.
        OutputError: a path that cannot be written.
    """
    parts = {
        "POSITION": ((mesh.vertices * CM).float().numpy(), "VEC3"),
        "NORMAL": (mesh.normals.float().numpy(), "VEC3"),
        "TEXCOORD_0": (mesh.uv.float().numpy(), "VEC2"),
    }
    pictures = {"texture": encode_png(texture)}
    # no metal, rather rough: close to unlit in a viewer's soft light; both sides, as the neck is open
    material = {
        "name": "skin",
        "doubleSided": True,
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0, "texCoord": 0},
            "metallicFactor": 0.0,
            "roughnessFactor": 0.7,
        },
    }
    if normal_map is not None:
        parts["TANGENT"] = (tangents(mesh).numpy(), "VEC4")
        pictures["normals"] = encode_png(normal_map)
        material["normalTexture"] = {"index": 1, "texCoord": 0}

    buffer, views, accessors = bytearray(), [], []

    def store(data: bytes, **target: int) -> int:
        views.append({"buffer": 0, "byteOffset": len(buffer), "byteLength": len(data), **target})
        buffer.extend(data + b"\0" * (-len(data) % 4))
        return len(views) - 1

    def access(array: np.ndarray, kind: str, component: int, target: int, **bounds: list) -> int:
        view = store(array.astype(array.dtype.newbyteorder("<")).tobytes(), target=target)
        accessors.append({"bufferView": view, "componentType": component, "count": len(array), "type": kind, **bounds})
        return len(accessors) - 1

    attributes = {}
    for name, (array, kind) in parts.items():
        # the specification asks for the bounds of positions
        bounds = {"min": array.min(0).tolist(), "max": array.max(0).tolist()} if name == "POSITION" else {}
        attributes[name] = access(array, kind, FLOAT, ARRAY_BUFFER, **bounds)
    triangles = mesh.triangles.numpy().astype(np.uint32).reshape(-1)
    indices = access(triangles, "SCALAR", UNSIGNED_INT, ELEMENT_BUFFER)
    images = [{"name": name, "bufferView": store(data), "mimeType": "image/png"} for name, data in pictures.items()]

    document = {
        "asset": {"version": "2.0", "generator": "studiolike", **({"extras": {RECORD: made}} if made else {})},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "head"}],
        "meshes": [{"name": "head", "primitives": [{"attributes": attributes, "indices": indices, "material": 0, "mode": 4}]}],
        "materials": [material],
        "textures": [{"source": k, "sampler": 0} for k in range(len(images))],
        "images": images,
        "samplers": [{"wrapS": REPEAT, "wrapT": CLAMP, "magFilter": LINEAR, "minFilter": MIPMAPS}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(buffer)}],
    }
    header = json.dumps(document, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 4)
    chunks = struct.pack("<II", len(header), JSON_CHUNK) + header + struct.pack("<II", len(buffer), BIN_CHUNK) + bytes(buffer)
    with io.atomic(path) as temporary:
        temporary.write_bytes(struct.pack("<III", MAGIC, VERSION, 12 + len(chunks)) + chunks)
    return Path(path)


def read_glb(path: str | os.PathLike) -> tuple[HeadMesh, Tensor]:
    """Read back a file of `write_glb`: the mesh in centimetres and the texture ``(3, H, W)`` in [0, 1].

    Files of other programs, with other attributes or several meshes, are not the aim.

    Raises:
        InputError: missing file, not a GLB, damaged, or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    data = path.read_bytes()
    try:
        magic, version, length = struct.unpack_from("<III", data)
        header_length, kind = struct.unpack_from("<II", data, 12)
        if (magic, version, length, kind) != (MAGIC, VERSION, len(data), JSON_CHUNK):
            raise ValueError("wrong header")
        document = parse_json(data[20 : 20 + header_length])
        buffer = data[28 + header_length :]
        if document["asset"].get("generator") != "studiolike":
            raise ValueError("written by another program")

        primitive = document["meshes"][0]["primitives"][0]

        def array(name: str, dtype: str, width: int) -> Tensor:
            index = primitive["indices"] if name == "indices" else primitive["attributes"][name]
            view = document["bufferViews"][document["accessors"][index]["bufferView"]]
            values = np.frombuffer(buffer, dtype, view["byteLength"] // 4, view["byteOffset"])
            return torch.from_numpy(values.reshape(-1, width).astype(dtype[1:]))

        view = document["bufferViews"][document["images"][0]["bufferView"]]
        png = buffer[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        with Image.open(bytes_io.BytesIO(png)) as picture:
            pixels = from_bytes(picture.convert("RGB"))
        mesh = HeadMesh(
            vertices=array("POSITION", "<f4", 3) / CM,
            uv=array("TEXCOORD_0", "<f4", 2),
            triangles=array("indices", "<u4", 3).long(),
            normals=array("NORMAL", "<f4", 3),
        )
    except (struct.error, ValueError, LookupError, TypeError, OSError, SyntaxError) as error:
        raise InputError(f"{path} is not a head that studiolike wrote; make one: studiolike view") from error
    return mesh, pixels


def encode_png(image: Tensor) -> bytes:
    """``(3, H, W)`` in [0, 1] → the bytes of an 8-bit PNG.

    Raises:
        InputError: another shape.
    """
    if image.ndim != 3 or image.shape[0] != 3:
        raise InputError(f"a texture is (3, H, W), not {tuple(image.shape)}")
    pixels = to_bytes(image)
    stream = bytes_io.BytesIO()
    # the search for the best compression costs a minute at 4096² and saves a few per cent
    Image.fromarray(pixels).save(stream, "PNG", optimize=max(pixels.shape[:2]) <= OPTIMISED)
    return stream.getvalue()
