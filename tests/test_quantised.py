"""Weights in 8 bits: small files that give back nearly what went in."""

import pytest
import torch
from safetensors.torch import load_file

from studiolike import weights
from studiolike.detail import Detailer
from studiolike.protocols import PROTOCOLS
from studiolike.quantised import STEP, coded, decoded


@pytest.fixture(scope="module")
def state():
    rng = torch.Generator().manual_seed(0)
    kernel = torch.randn(6, 4, 3, 3, generator=rng) * torch.logspace(-6, 1, 6).view(-1, 1, 1, 1)
    kernel[3] = 0
    return {"conv.weight": kernel, "conv.bias": torch.randn(6, generator=rng), "count": torch.tensor(4097)}


def test_each_output_is_kept_to_half_a_step_of_its_own_range(state):
    small = coded(state)
    assert small["conv.weight"].dtype == torch.int8 and small["conv.bias"].dtype == torch.half
    back = decoded(small)
    assert back.keys() == state.keys()
    gap, largest = ((x).flatten(1).abs().amax(1) for x in (back["conv.weight"] - state["conv.weight"], state["conv.weight"]))
    assert (gap <= 0.502 * largest / 127 + 1e-12).all() and gap[0] > 0
    assert back["conv.weight"][3].abs().max() == 0
    assert torch.allclose(back["conv.bias"], state["conv.bias"].half()) and torch.equal(back["count"], state["count"])
    half = {name: weight.half() if weight.is_floating_point() else weight for name, weight in state.items()}
    again = decoded(coded(half))["conv.weight"]
    assert torch.isfinite(again).all() and torch.allclose(again, half["conv.weight"].float(), atol=0.12)


def test_weights_that_were_not_coded_pass_as_they_are(state):
    assert all(torch.equal(a, b) for a, b in zip(decoded(state).values(), state.values(), strict=True))


def test_a_network_is_released_in_8_bits_and_comes_back(tmp_path):
    model = Detailer((8, 16), resolution=32)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    folder = weights.release(model, "detailer", {}, tmp_path)
    stored = load_file(folder / weights.FILE)
    assert {stored[n].dtype for n in stored if n + STEP in stored} == {torch.int8}
    ours, back = model.state_dict(), weights.load("detailer", root=tmp_path).state_dict()
    assert ours.keys() == back.keys()
    for name, weight in ours.items():
        step = weight.flatten(1).abs().amax(1) / 127 if weight.ndim > 1 else weight.abs() * 2**-10
        assert ((back[name] - weight).flatten(1 if weight.ndim > 1 else 0).abs().amax(-1) <= 0.502 * step.amax() + 1e-6).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", weights.CODED)
def test_released_networks_that_may_be_coded_are(name, protocol):
    stored = load_file(weights.folder_of(name, protocol) / weights.FILE)
    assert all(weight.dtype == torch.int8 for weight in stored.values() if weight.ndim > 1)
