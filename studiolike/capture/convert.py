"""Brings MediaPipe's networks into the package's format; needed once, kept so that anybody can repeat it.

    npm pack @mediapipe/face_mesh@0.4.1657299874          (unpack both)
    npm pack @mediapipe/selfie_segmentation@0.1.1675465747
    pip install ai-edge-litert
    python -m studiolike.capture.convert …/face_mesh_solution_packed_assets.data …/selfie_segmentation.tflite

The first file holds several models one after the other; the loader beside it lists where each begins. Their weights are stored
in half precision, and so are ours, but for the largest layers of the mesh, of which 8 bits are kept. The line printed compares
the detector with the original on noise. Some operators of the mesh and of the person mask are known to MediaPipe's own runtime
only; tests hold the mesh to numbers of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import weights
from ..quantised import QuantisedConv
from .face_networks import DETECTOR_SIDE, FaceDetector, FaceMesh
from .person_network import PersonMask

MESH, DETECTOR = slice(0, 2495952), slice(3757224, 3986256)  # bytes, as the package's loader lists them
COMMON = 59  # layers of the mesh network before its branches part


def read_layers(model: bytes) -> list[list[Tensor]]:
    """Weights of every layer that has some, in the order of the graph: kernel and bias of convolutions, slopes of PReLUs."""
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    graph, codes = content.subgraphs[0], content.operatorCodes
    kind = schema.BuiltinOperator
    stored = {}  # half-precision weights become float32 by an operator of their own

    def tensor(number: int) -> Tensor:
        entry = graph.tensors[stored.get(number, number)]
        dtype = np.float16 if entry.type == schema.TensorType.FLOAT16 else np.float32
        return torch.from_numpy(np.frombuffer(bytes(content.buffers[entry.buffer].data), dtype).copy()).view(*entry.shape)

    layers = []
    for operator in graph.operators:
        code = codes[operator.opcodeIndex]
        name = max(code.builtinCode, code.deprecatedBuiltinCode)
        if name == kind.DEQUANTIZE:
            stored[operator.outputs[0]] = operator.inputs[0]
        elif name == kind.CONV_2D:
            layers.append([tensor(operator.inputs[1]).permute(0, 3, 1, 2), tensor(operator.inputs[2])])
        elif name == kind.DEPTHWISE_CONV_2D:
            layers.append([tensor(operator.inputs[1]).permute(3, 0, 1, 2), tensor(operator.inputs[2])])
        elif name == kind.PRELU:
            layers.append([tensor(operator.inputs[1]).flatten()])
        elif name == kind.CUSTOM and len(operator.inputs) == 3:  # the person mask's last layer: transposed, with a bias
            layers.append([tensor(operator.inputs[1]).permute(3, 0, 1, 2), tensor(operator.inputs[2])])
    return layers


def fill(modules: list[nn.Module], layers: list[list[Tensor]]) -> None:
    """Copy the weights of ``layers`` into the modules that have some, in order; shapes and numbers must agree."""
    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.PReLU | QuantisedConv
    targets = [m for module in modules for m in module.modules() if isinstance(m, kinds)]
    for target, source in zip(targets, layers, strict=True):
        if isinstance(target, QuantisedConv):
            if target.codes.shape != source[0].shape:
                raise ValueError(f"{tuple(source[0].shape)} does not fit {target}")
            target.encode(*source)
            continue
        for parameter, values in zip(target.parameters(recurse=False), source, strict=True):
            if parameter.shape != values.shape:
                raise ValueError(f"{tuple(values.shape)} does not fit {target}")
            parameter.data = values.clone()


def face_mesh(model: bytes) -> FaceMesh:
    """The mesh network from its TFLite file; the branches that find irises stay behind."""
    net, layers = FaceMesh(), read_layers(model)
    fill([net.stem, net.fine, net.trunk, net.head, net.points], layers[:COMMON])
    fill([net.presence], layers[-1:])
    # the graph takes one layer of each branch in turn: 18 of lips and eyes, then, where irises have their own, of all five
    together, apart = layers[COMMON : COMMON + 3 * 18], layers[COMMON + 3 * 18 : -1]
    for number, (part, place) in enumerate(zip(net.parts, (0, 1, 3), strict=True)):
        fill([part], together[number::3] + apart[place::5])
    return net


def face_detector(model: bytes) -> FaceDetector:
    """The detector from its TFLite file."""
    net = FaceDetector()
    fill([net.stem, net.fine, net.coarse, net.scores, net.places], read_layers(model))
    return net


def person_mask(model: bytes) -> PersonMask:
    """The network that tells a person from what is behind, from its TFLite file."""
    net = PersonMask()
    fill([net], read_layers(model))
    return net


def reference(model: bytes, picture: np.ndarray) -> list[np.ndarray]:
    """What the original says: its outputs, flat, the longest first."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_content=model)
    run.allocate_tensors()
    run.set_tensor(run.get_input_details()[0]["index"], picture)
    run.invoke()
    return sorted((run.get_tensor(entry["index"]).ravel() for entry in run.get_output_details()), key=len, reverse=True)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", type=Path, help="face_mesh_solution_packed_assets.data of npm @mediapipe/face_mesh")
    parser.add_argument("person", type=Path, help="selfie_segmentation.tflite of npm @mediapipe/selfie_segmentation")
    given = parser.parse_args()
    content = given.assets.read_bytes()
    weights.release_foreign(person_mask(given.person.read_bytes()).half(), "person_mask")
    mesh, detector = face_mesh(content[MESH]), face_detector(content[DETECTOR])
    weights.release_foreign(mesh.half(), "face_mesh")
    weights.release_foreign(detector.half(), "face_detector")
    noise = np.random.default_rng(0).random((1, DETECTOR_SIDE, DETECTOR_SIDE, 3), np.float32) * 2 - 1
    logits, places = weights.load("face_detector")(torch.from_numpy(noise).permute(0, 3, 1, 2))
    theirs = reference(content[DETECTOR], noise)
    print("detector, size in pixels:", np.abs(places[0, :, 1].numpy() - theirs[0].reshape(-1, 8, 2)[:, 1]).max(), end=" ")
    print("logit:", np.abs(logits[0].numpy() - theirs[1]).max())


if __name__ == "__main__":
    main()
