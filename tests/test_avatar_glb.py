"""GLB files: valid glTF 2.0, readable by another library and by ourselves."""

import json
import struct

import numpy as np
import pytest
import torch

from studiolike.avatar import head_mesh, read_glb, write_glb
from studiolike.errors import InputError, OutputError


@pytest.fixture(scope="module")
def head():
    return head_mesh(grid=16), torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def glb(head, tmp_path_factory):
    return write_glb(*head, tmp_path_factory.mktemp("glb") / "head.glb")


def chunks(data):
    """Header, document and buffer of a GLB file, after the container's own rules are checked."""
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON" and size % 4 == 0
    binary_size, binary_kind = struct.unpack_from("<I4s", data, 20 + size)
    assert binary_kind == b"BIN\0" and binary_size % 4 == 0
    assert 28 + size + binary_size == len(data)
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def test_chunks_views_and_accessors_are_aligned_and_inside_the_buffer(glb, head):
    document, buffer = chunks(glb.read_bytes())
    assert document["buffers"][0]["byteLength"] == len(buffer)
    end = 0
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0 and view["byteOffset"] >= end
        end = view["byteOffset"] + view["byteLength"]
    assert end <= len(buffer)
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        assert accessor["count"] * width[accessor["type"]] * 4 == view["byteLength"]


def test_position_bounds_are_the_exact_bounds_of_the_stored_positions(glb):
    document, buffer = chunks(glb.read_bytes())
    primitive = document["meshes"][0]["primitives"][0]
    accessor = document["accessors"][primitive["attributes"]["POSITION"]]
    view = document["bufferViews"][accessor["bufferView"]]
    stored = np.frombuffer(buffer, "<f4", accessor["count"] * 3, view["byteOffset"]).reshape(-1, 3)
    assert np.array_equal(stored.min(0), np.float32(accessor["min"]))
    assert np.array_equal(stored.max(0), np.float32(accessor["max"]))
    assert 0.2 < accessor["max"][1] - accessor["min"][1] < 0.35  # a head is about 26 cm high; glTF counts metres


def test_the_material_is_rough_and_without_metal(glb):
    material = chunks(glb.read_bytes())[0]["materials"][0]["pbrMetallicRoughness"]
    assert material["metallicFactor"] == 0 and material["roughnessFactor"] == 0.7


def test_another_library_reads_the_same_mesh_and_picture(glb, head):
    trimesh = pytest.importorskip("trimesh")
    mesh, texture = head
    (read,) = trimesh.load(glb, process=False).geometry.values()
    assert np.allclose(read.vertices, mesh.vertices.numpy() / 100, atol=1e-6)
    assert np.array_equal(read.faces, mesh.triangles.numpy())
    assert np.allclose(read.visual.uv[:, 1], 1 - mesh.uv[:, 1].numpy(), atol=1e-6)  # trimesh turns v upward
    picture = np.asarray(read.visual.material.baseColorTexture.convert("RGB"))
    assert np.abs(picture / 255 - texture.permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6


def test_reading_back_gives_the_head_and_its_texture(glb, head):
    mesh, texture = read_glb(glb)
    assert torch.allclose(mesh.vertices, head[0].vertices, atol=1e-4)
    assert torch.equal(mesh.triangles, head[0].triangles) and torch.equal(mesh.uv, head[0].uv)
    assert (texture - head[1]).abs().max() <= 0.5 / 255 + 1e-6


def test_the_same_head_gives_the_same_bytes(glb, head, tmp_path):
    assert write_glb(*head, tmp_path / "again.glb").read_bytes() == glb.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d[:50],
        lambda d: b"",
        lambda d: b"x" * 200,
        lambda d: d[:-8],
        lambda d: d.replace(b'"bufferViews"', b'"bufferWiews"'),
    ],
)
def test_a_damaged_file_is_named_in_one_line(glb, tmp_path, damage):
    broken = tmp_path / "broken.glb"
    broken.write_bytes(damage(glb.read_bytes()))
    with pytest.raises(InputError, match="broken.glb") as caught:
        read_glb(broken)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_an_unwritable_place_are_refused(head, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_glb(tmp_path / "none.glb")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_glb(*head, tmp_path / "file" / "head.glb")


def test_a_batch_instead_of_one_texture_is_refused(head, tmp_path):
    with pytest.raises(InputError, match="3, H, W"):
        write_glb(head[0], torch.zeros(1, 3, 8, 8), tmp_path / "head.glb")
    assert not list(tmp_path.iterdir())
