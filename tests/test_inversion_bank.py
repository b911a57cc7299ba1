"""The code bank: built in chunks, resumable, and sampled with known provenance."""

from dataclasses import replace

import pytest
import torch

from studiolike.config import InversionConfig
from studiolike.errors import InputError, WeightsError
from studiolike.inversion import CodeBank, build_bank
from studiolike.inversion import bank as bank_module
from studiolike.stylegan2 import Generator

CONFIG = InversionConfig(steps=3, batch=2)


class Captures:
    """Eight random captures, counting which rows are asked for."""

    def __init__(self):
        rng = torch.Generator().manual_seed(0)
        self.texture, self.asked = torch.rand(8, 3, 16, 16, generator=rng), []

    def phone_batch(self, rows, device):
        self.asked += rows.tolist()
        return self.texture[rows].to(device), torch.ones(len(rows), 1, 16, 16)


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return Generator(resolution=16, w_dim=16, mapping_layers=2, channel_base=64, channel_max=16).eval()


def build(generator, data, path):
    return build_bank(generator, data, torch.tensor([1, 3, 4, 6, 7]), CONFIG, path, progress=False)


def test_an_interrupted_build_goes_on_where_it_stopped(generator, tmp_path, monkeypatch):
    whole = build(generator, Captures(), tmp_path / "whole.safetensors")
    real, calls = bank_module.invert, []

    def stops_at_the_third(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(bank_module, "invert", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        build(generator, Captures(), tmp_path / "bank.safetensors")
    assert not (tmp_path / "bank.safetensors").exists()
    monkeypatch.setattr(bank_module, "invert", real)
    data = Captures()
    bank = build(generator, data, tmp_path / "bank.safetensors")
    assert data.asked == [7]  # the two finished chunks were not done again
    assert torch.equal(bank.w_plus, whole.w_plus) and bank.rows.tolist() == [1, 3, 4, 6, 7]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bank.safetensors", "whole.safetensors"]


def test_a_finished_bank_is_opened_and_one_of_other_settings_is_refused(generator, tmp_path):
    path = tmp_path / "bank.safetensors"
    first, data = build(generator, Captures(), path), Captures()
    again = build(generator, data, path)
    assert data.asked == [] and torch.equal(first.w_plus, again.w_plus) and torch.equal(first.psnr, again.psnr)
    with pytest.raises(InputError, match="other"):
        build_bank(generator, data, torch.tensor([0]), replace(CONFIG, steps=4), path, progress=False)
    other = build_bank(generator, data, torch.tensor([0]), CONFIG, path, progress=False, overwrite=True)
    assert other.rows.tolist() == [0]


def test_a_damaged_or_missing_bank_is_named(tmp_path):
    with pytest.raises(InputError, match="no code bank"):
        CodeBank.open(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not a bank")
    with pytest.raises(WeightsError, match="damaged"):
        CodeBank.open(tmp_path / "bad.safetensors")


def test_samples_are_convex_mixtures_of_the_rows_they_name():
    rng = torch.Generator().manual_seed(0)
    bank = CodeBank(torch.randn(20, 4, 8, generator=rng), torch.arange(100, 120), torch.full((20,), 30.0), {})
    sample = bank.sample(400, rng)
    assert sample.w_plus.shape == (400, 4, 8) and sample.rows.shape == (400, 3)
    assert torch.allclose(sample.weights.sum(1), torch.ones(400)) and (sample.weights >= 0).all()
    rebuilt = sum(sample.weights[:, k, None, None] * bank.codes(sample.rows[:, k]) for k in range(3))
    assert torch.allclose(sample.w_plus, rebuilt, atol=1e-5)
    parts = (sample.weights > 0).sum(1)
    assert set(parts.tolist()) == {1, 2, 3} and 0.4 < (parts > 1).float().mean() < 0.6
    pure = bank.sample(50, rng, mixtures=False)
    assert torch.equal(pure.w_plus, bank.codes(pure.rows[:, 0]))
    again = [bank.sample(5, torch.Generator().manual_seed(7)).w_plus for _ in range(2)]
    assert torch.equal(*again)


def test_codes_of_a_row_outside_the_bank_are_refused():
    bank = CodeBank(torch.randn(3, 4, 8), torch.tensor([5, 6, 7]), torch.tensor([20.0, 30.0, 25.0]), {})
    with pytest.raises(InputError, match="row 8"):
        bank.codes(torch.tensor([5, 8]))
