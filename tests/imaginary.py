"""A GPU that is not there: tensors without numbers, which know their shape, their device and what memory they would take.

Two looks at the same code. On an imaginary CUDA device forward passes run and mixed devices raise, as on a real one; there is
no backward pass, for the autograd engine wants a driver. On the CPU tensors without numbers are differentiated as well, and
bfloat16 takes the room that float16 takes on a GPU: that is where memory is counted.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.utils import convert_outputs_to_fp32
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from studiolike import layout


class Imaginary(FakeTensorMode):
    """Tensors without numbers; copying a network must not copy the mode with it."""

    def __deepcopy__(self, memo: dict) -> Imaginary:
        return self


class Memory(TorchDispatchMode):
    """Bytes of all tensors alive, ``now`` and at the ``peak``; storages count once, and until autograd lets go of them too."""

    def __init__(self, counting: bool):
        super().__init__()
        self.counting = counting
        self.now = self.peak = 0
        self.alive: dict[int, int] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            return 1  # the number that a scheduler, for example, looks up in a table
        result = function(*args, **(kwargs or {}))
        if not self.counting:
            return result
        for tensor in [result] if isinstance(result, Tensor) else tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.alive:
                    self.alive[storage._cdata] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._forget, storage._cdata)
        self.peak = max(self.peak, self.now)
        return result

    def _forget(self, key: int) -> None:
        self.now -= self.alive.pop(key)


class Accelerator:
    """What stages ask of `accelerate`, without its global state: one of ``processes`` on ``device``, autocast to ``dtype``."""

    process_index, scaler, is_main_process = 0, None, True

    def __init__(self, device: str, dtype: torch.dtype | None = None, processes: int = 1):
        self.device, self.dtype, self.num_processes = torch.device(device), dtype, processes

    def autocast(self):
        return torch.autocast(self.device.type, self.dtype) if self.dtype else nullcontext()

    def backward(self, loss: Tensor, **options: Any) -> None:
        loss.backward(**options)

    def unwrap_model(self, model: torch.nn.Module) -> torch.nn.Module:
        return model

    def reduce(self, tensor: Tensor, how: str = "sum") -> Tensor:
        return tensor.clone()

    def clip_grad_norm_(self, parameters, norm: float) -> Tensor:
        return torch.nn.utils.clip_grad_norm_(list(parameters), norm)

    def prepare(self, stage: Any) -> Any:
        """As `accelerate` would: the networks' ``forward`` computes under autocast and gives float32."""
        stage.accelerator = self
        for model in stage.modules.values():
            forward = model.forward

            def cast(*args, forward=forward, **kwargs):
                with self.autocast():
                    return forward(*args, **kwargs)

            model.forward = convert_outputs_to_fp32(functools.wraps(forward)(cast))
        return stage


def _zeros(shape: tuple[int, ...]) -> Any:
    return [_zeros(shape[1:]) for _ in range(shape[0])] if shape else 0


@contextmanager
def imagine(device: str) -> Iterator[Memory]:
    """Inside the block all tensors are without numbers, and new ones are on ``device``; yields the count of memory.

    Where code asks for a number it gets a zero or a one; a question that a check asks of all texels is answered with yes, others
    with no. On "cuda" backward passes and `torch.autograd.grad` give zeros of the right shape and device.
    """
    patch = pytest.MonkeyPatch()
    for name, answer in {
        "item": lambda t: 1,  # as the optimisers' count of steps, it is divided by
        "__float__": lambda t: 1.0,
        "__int__": lambda t: 0,
        "__index__": lambda t: 0,
        "__bool__": lambda t: getattr(t, "is_answer_to_all", False),
        "tolist": lambda t: _zeros(tuple(t.shape)),
        "numpy": lambda t: np.zeros(tuple(t.shape), np.float32 if t.is_floating_point() else np.int64),
    }.items():
        patch.setattr(Tensor, name, answer)
    every = Tensor.all

    def answered(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        result = every(tensor, *args, **kwargs)
        result.is_answer_to_all = True
        return result

    patch.setattr(Tensor, "all", answered)
    patch.setattr(torch.nn.Module, "to", _move)
    # what is drawn with skimage needs numbers
    patch.setattr(layout, "polygon_mask", lambda uv, resolution: torch.ones(1, resolution, resolution, device="cpu"))
    if torch.device(device).type == "cuda":
        patch.setattr(Tensor, "backward", _no_slope)
        patch.setattr(torch.autograd, "grad", _no_grad)
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)  # autocast as on a real one
        patch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    try:
        with Imaginary(allow_non_fake_inputs=True), Memory(counting=torch.device(device).type == "cpu") as memory:
            yield memory
    finally:
        patch.undo()
        forget_caches()


@contextmanager
def numbers() -> Iterator[None]:
    """A part of an imagined block, on the CPU, whose tensors have numbers: for what is counted once, before a training."""
    with _disable_current_modes(), torch.device("cpu"):
        yield


def _move(module: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
    """`Module.to`; torch's own swaps the tensors in place, which those without numbers refuse once something knows them."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and (moved := parameter.to(*args, **kwargs)) is not parameter:
                part._parameters[name] = torch.nn.Parameter(moved.detach(), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(*args, **kwargs)
    return module


def _no_slope(loss: Tensor, *args: Any, **kwargs: Any) -> None:
    """`Tensor.backward`: every leaf that the loss depends on gets a gradient."""
    waiting, met = [loss.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in met:
            continue
        met.add(node)
        waiting += [before for before, _ in node.next_functions]
        if (leaf := getattr(node, "variable", None)) is not None and leaf.grad is None:
            leaf.grad = torch.zeros_like(leaf)


def _no_grad(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
    return tuple(torch.zeros_like(x) for x in ([inputs] if isinstance(inputs, Tensor) else inputs))


def forget_caches() -> None:
    """Empty every cache of the package: a tensor without numbers must not outlive its block."""
    for name, module in list(sys.modules.items()):
        if name.startswith("studiolike"):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
