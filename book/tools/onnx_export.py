"""Networks as ONNX files, which onnxruntime-web runs in a reader's browser.

A function on tensors is recorded operation by operation for one size of input (`make_fx`), so that what the package
computes from shapes is settled, and written by torch's exporter. Weights that half precision holds exactly, as it does
those of the released chain, are stored so: the files are half as large, and the browser computes in single precision.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import Node, map_arg
from torch.overrides import TorchFunctionMode

from project import BookError
from studiolike import capture, io, weights
from studiolike.capture import face_networks, person_network
from studiolike.chain import RESOLUTION
from studiolike.detail.exemplars import closed_form
from studiolike.image import resize
from studiolike.inversion import resize_observed
from studiolike.pipeline import StudioPipeline
from studiolike.tone.translation import translate

OPSET = 17  # of ONNX; every onnxruntime-web since 1.13 knows it
LENT = 256  # texels along a side of the exemplars in the file: those of the package are larger than all the networks
SMALL = 1024  # numbers: tensors up to this stay in single precision


def chain_of(pipe: StudioPipeline) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What `StudioPipeline.__call__` computes without the detailer and with the tone kept, as one function.

    It takes a texture ``(1, 3, N, N)`` and its visibility ``(1, 1, N, N)``, both in [0, 1], N = `RESOLUTION`, and gives the
    studio-like texture ``(1, 3, N, N)`` and G_studio's own ``(1, 3, n, n)``. Its exemplars have `LENT` texels along a side.
    """
    exemplars = lent()

    def chain(texture: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
        small = resize_observed(texture, visibility, pipe.g_phone.config.resolution)
        low = translate(pipe.g_phone, pipe.encoder, pipe.g_studio, pipe.tone, *small, keep_tone=True)
        return closed_form(texture, visibility, low, exemplars, real=True), low

    return chain


def lent() -> Tensor:
    """The released exemplars, reduced to `LENT` texels along a side."""
    return resize(weights.exemplars().float(), LENT).round().byte()


def write(
    function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor], names: tuple[Sequence[str], Sequence[str]], path: Path
) -> None:
    """Record ``function`` on ``inputs`` and write it as ONNX.

    Args:
        function: of tensors that gives a tuple of tensors; what it closes over is stored as weights.
        inputs: examples; the file takes tensors of these sizes only.
        names: of inputs and of outputs, as the browser calls them.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer about constants, which is what is wanted, and of an older exporter
        function(*inputs)  # masks that are drawn once and kept are then constants of the recording
        with Spelt():
            graph = make_fx(function)(*inputs)
        tidy(graph)
        halve(graph)
        with io.atomic(path) as temporary:
            torch.onnx.export(
                graph,
                tuple(inputs),
                str(temporary),
                input_names=list(names[0]),
                output_names=list(names[1]),
                opset_version=OPSET,
                dynamo=False,
                do_constant_folding=False,  # it would widen the weights again
            )


class Spelt(TorchFunctionMode):
    """Spells out what the exporter does not know: padding that wraps around, leaky ReLUs with a slope per channel, and
    normalisation of groups of channels."""

    def __torch_function__(self, function: Callable, types, args=(), kwargs=None):
        mode = args[2] if len(args) > 2 else (kwargs or {}).get("mode")
        if function in (F.pad, torch._C._nn.pad) and mode == "circular":
            x, (left, right, *rest) = args[0], args[1]
            if any(rest):
                raise BookError("only padding to the left and right is known to wrap around")
            return torch.cat([x[..., x.shape[-1] - left :], x, x[..., :right]], -1)
        if function is torch.prelu:
            x, slopes = args
            return torch.where(x > 0, x, x * slopes.view(-1, 1, 1))
        if function is F.group_norm:
            (x, groups), given = args, kwargs or {}
            flat = x.reshape(len(x), groups, -1)
            flat = flat - flat.mean(-1, keepdim=True)
            normal = (flat * torch.rsqrt(flat.square().mean(-1, keepdim=True) + given["eps"])).reshape(x.shape)
            return normal * given["weight"].view(-1, 1, 1) + given["bias"].view(-1, 1, 1)
        return function(*args, **(kwargs or {}))


def tidy(graph: GraphModule) -> None:
    """Rewrite what the exporter does not know: operations in place, copies, and constants that are computed."""
    aten, known = torch.ops.aten, {}
    others = {
        aten.leaky_relu_.default: aten.leaky_relu.default,
        aten.add_.Tensor: aten.add.Tensor,
        aten.view.default: aten.reshape.default,
        aten._unsafe_view.default: aten.reshape.default,
        aten.grid_sampler_2d.default: torch.grid_sampler,
    }
    modes = {aten.upsample_bilinear2d.default: "bilinear", aten.upsample_bicubic2d.default: "bicubic"}
    passed: set[Node] = set()
    for node in list(graph.graph.nodes):
        passed.add(node)
        if node.target in (aten.leaky_relu_.default, aten.add_.Tensor):  # whoever comes later sees the new value
            node.args[0].replace_all_uses_with(node, delete_user_cb=lambda user: user not in passed)
        elif getattr(node.target, "_schema", None) is not None and node.target._schema.is_mutable:
            raise BookError(f"{node.target} changes its input; onnx_export.tidy does not know it")
        node.target = others.get(node.target, node.target)
        if node.op == "get_attr" and getattr(graph, node.target).numel() <= SMALL:
            known[node] = getattr(graph, node.target)
        elif node.op == "call_function" and all(source in known for source in node.all_input_nodes):
            args, kwargs = map_arg((node.args, node.kwargs), known.get)
            known[node] = node.target(*args, **kwargs)
        elif node.target in (aten.lift_fresh_copy.default, aten.clone.default):
            node.replace_all_uses_with(node.args[0])
        elif node.target in modes:
            x, size, aligned = node.args[:3]
            settings = {"size": tuple(size), "mode": modes[node.target], "align_corners": aligned}
            node.target, node.args, node.kwargs = F.interpolate, (x,), settings
        elif node.target == aten._to_copy.default:
            node.op, node.target, node.kwargs = "call_method", "to", {"dtype": node.kwargs["dtype"]}
    for number, (node, value) in enumerate(known.items()):
        if node.op == "call_function" and any(user not in known for user in node.users):
            graph.register_buffer(f"_settled{number}", value.detach().contiguous())
            node.op, node.target, node.args, node.kwargs = "get_attr", f"_settled{number}", (), {}
    graph.graph.eliminate_dead_code()
    graph.recompile()


def halve(graph: GraphModule) -> None:
    """Store large tensors of a recorded graph in half precision, where that changes nothing."""
    halved: set[str] = set()
    for node in [node for node in graph.graph.nodes if node.op == "get_attr"]:
        tensor = getattr(graph, node.target)
        if node.target not in halved:
            if tensor.dtype != torch.float32 or tensor.numel() <= SMALL or not torch.equal(tensor.half().float(), tensor):
                continue
            setattr(graph, node.target, nn.Parameter(tensor.half(), requires_grad=False))
            halved.add(node.target)
        with graph.graph.inserting_after(node):
            wide = graph.graph.call_method("float", (node,))
        node.replace_all_uses_with(wide, delete_user_cb=lambda user, wide=wide: user is not wide)
    graph.recompile()


def write_chain(path: Path, pipe: StudioPipeline, size: int = RESOLUTION) -> None:
    """The chain as ONNX: ``texture``, ``visibility`` → ``studio``, ``low``."""
    inputs = torch.rand(1, 3, size, size), torch.rand(1, 1, size, size)
    write(chain_of(pipe), inputs, (("texture", "visibility"), ("studio", "low")), path)


def write_face_mesh(path: Path) -> None:
    """The mesh of landmarks as ONNX: ``crop (1, 3, 192, 192)`` in [0, 1] → ``points (1, 468, 3)``, ``presence (1,)``."""
    crop = torch.rand(1, 3, face_networks.MESH_SIDE, face_networks.MESH_SIDE)
    write(capture.detection.mesh(), (crop,), (("crop",), ("points", "presence")), path)


def write_person_mask(path: Path) -> None:
    """The person mask as ONNX: ``picture (1, 3, 256, 256)`` in [0, 1] → ``probability (1, 1, 256, 256)``."""
    picture = torch.rand(1, 3, person_network.PERSON_SIDE, person_network.PERSON_SIDE)
    write(capture.person.network(), (picture,), (("picture",), ("probability",)), path)


def write_face_detector(path: Path, side: int) -> None:
    """The detector as ONNX: ``picture (1, 3, S, S)`` in [-1, 1] → ``logits (1, A)``, ``places (1, A, 8, 2)``."""
    picture = torch.rand(1, 3, side, side)
    write(capture.detection.detector(), (picture,), (("picture",), ("logits", "places")), path)
