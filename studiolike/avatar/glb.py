"""glTF 2.0 binary files (Khronos Group, *glTF 2.0 Specification*, 2021), written directly.

One mesh, one embedded PNG, one material. In a GLB file everything is little-endian and every chunk starts
on a multiple of four bytes. glTF wants metres, y up and the front along +z; the layout's v already runs
down as glTF's does.
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
from .mesh import HeadMesh

MAGIC, VERSION, JSON_CHUNK, BIN_CHUNK = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
FLOAT, UNSIGNED_INT = 5126, 5125
ARRAY_BUFFER, ELEMENT_BUFFER = 34962, 34963
REPEAT, CLAMP, LINEAR, MIPMAPS = 10497, 33071, 9729, 9987
CM = 0.01  # glTF's unit is the metre


def write_glb(mesh: HeadMesh, texture: Tensor, path: str | os.PathLike) -> Path:
    """Write a textured head as one ``.glb`` file.

    Args:
        mesh: the head, in centimetres; written in metres.
        texture: ``(3, H, W)`` in [0, 1], sRGB, stored as an 8-bit PNG inside the file.
        path: where to write; the same mesh and texture give the same bytes.
    Returns:
        The path.
    Raises:
        InputError: a texture of another shape.
        OutputError: a path that cannot be written.
    """
    arrays = [
        ((mesh.vertices * CM).float().numpy(), "VEC3", FLOAT, ARRAY_BUFFER),
        (mesh.normals.float().numpy(), "VEC3", FLOAT, ARRAY_BUFFER),
        (mesh.uv.float().numpy(), "VEC2", FLOAT, ARRAY_BUFFER),
        (mesh.triangles.numpy().astype(np.uint32).reshape(-1), "SCALAR", UNSIGNED_INT, ELEMENT_BUFFER),
    ]
    buffer, views, accessors = bytearray(), [], []
    for array, kind, component, target in arrays:
        accessor = {"bufferView": len(views), "componentType": component, "count": len(array), "type": kind}
        if not accessors:  # the specification asks for the bounds of positions
            accessor |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        accessors.append(accessor)
        views.append({"buffer": 0, "byteOffset": len(buffer), "byteLength": array.nbytes, "target": target})
        buffer += array.astype(array.dtype.newbyteorder("<")).tobytes()  # 4-byte elements: stays aligned
    picture = encode_png(texture)
    views.append({"buffer": 0, "byteOffset": len(buffer), "byteLength": len(picture)})
    buffer += picture + b"\0" * (-len(picture) % 4)

    document = {
        "asset": {"version": "2.0", "generator": "studiolike"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "head"}],
        "meshes": [
            {
                "name": "head",
                "primitives": [
                    {"attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}, "indices": 3, "material": 0, "mode": 4}
                ],
            }
        ],
        # no metal, rather rough: close to unlit in a viewer's soft light; both sides, as the neck is open
        "materials": [
            {
                "name": "skin",
                "doubleSided": True,
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": 0, "texCoord": 0},
                    "metallicFactor": 0.0,
                    "roughnessFactor": 0.7,
                },
            }
        ],
        "textures": [{"source": 0, "sampler": 0}],
        "images": [{"name": "texture", "bufferView": 4, "mimeType": "image/png"}],
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
        document = json.loads(data[20 : 20 + header_length])
        buffer = data[28 + header_length :]
        if document["asset"].get("generator") != "studiolike":
            raise ValueError("written by another program")

        def array(index: int, dtype: str, width: int) -> Tensor:
            view = document["bufferViews"][document["accessors"][index]["bufferView"]]
            values = np.frombuffer(buffer, dtype, view["byteLength"] // 4, view["byteOffset"])
            return torch.from_numpy(values.reshape(-1, width).astype(dtype[1:]))

        view = document["bufferViews"][document["images"][0]["bufferView"]]
        png = buffer[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        with Image.open(bytes_io.BytesIO(png)) as picture:
            pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).float() / 255
        mesh = HeadMesh(
            vertices=array(0, "<f4", 3) / CM,
            uv=array(2, "<f4", 2),
            triangles=array(3, "<u4", 3).long(),
            normals=array(1, "<f4", 3),
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
    pixels = (image.detach().float().cpu().clamp(0, 1).permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
    stream = bytes_io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()
