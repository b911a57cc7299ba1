"""Perceptual distances: zero for equals, growing with damage, blind to what is masked out."""

import hashlib

import pytest
import torch
from torch import nn

from studiolike.errors import InputError, WeightsError
from studiolike.features import IdentityNet, PerceptualDistance, lpips_pretrained, lpips_where_present
from studiolike.features.perceptual import LPIPS_FILE, TRUNKS
from studiolike.image import blur


@pytest.fixture
def net() -> IdentityNet:
    return IdentityNet(resolution=32, widths=(8, 12, 16, 24), embedding=16).eval()


@pytest.fixture
def texture() -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_distance_is_zero_for_equals_symmetric_and_positive_otherwise(net, texture):
    distance, other = PerceptualDistance(net), texture.flip(-1)
    assert distance(texture, texture).abs().max() == 0
    torch.testing.assert_close(distance(texture, other), distance(other, texture))
    assert distance(texture, other).min() > 1e-3 and distance(texture, other).max() <= 4


def test_distance_grows_with_blur(net, texture):
    distance = PerceptualDistance(net)
    growing = torch.stack([distance(texture, blur(texture, s)) for s in (0.4, 0.7, 1.2)])
    assert (growing.diff(dim=0) > 0).all()


def test_a_full_mask_changes_nothing_and_an_empty_one_gives_zero(net, texture):
    distance, other, mask = PerceptualDistance(net), texture.flip(-2), torch.ones(2, 1, 32, 32)
    torch.testing.assert_close(distance(texture, other, mask), distance(texture, other))
    assert distance(texture, other, 0 * mask).abs().max() == 0


def test_what_is_masked_out_changes_neither_distance_nor_gradient(net, texture):
    mask = torch.ones(2, 1, 32, 32)
    mask[:, :, 10:, :] = 0
    output = texture.flip(-1).requires_grad_()
    value = PerceptualDistance(net)(output, texture, mask)
    value.sum().backward()
    elsewhere = torch.where(mask > 0, output.detach(), torch.zeros(()))
    torch.testing.assert_close(value.detach(), PerceptualDistance(net)(elsewhere, texture, mask))
    assert output.grad[:, :, 10:].abs().max() == 0 < output.grad[:, :, :10].abs().max()
    assert torch.isfinite(output.grad).all()


def test_a_target_described_once_gives_the_same_distance(net, texture):
    distance, other = PerceptualDistance(net), texture.flip(-1)
    once = PerceptualDistance.compare(distance.describe(texture), distance.describe(other))
    torch.testing.assert_close(once, distance(texture, other))


def test_the_formula_agrees_with_a_hand_computed_case():
    class Trunk(nn.Module):
        name = "two texels"

        def features(self, texture, visibility):
            return [texture[:, :2]]

    a = torch.tensor([[[[1.0, 0.6]], [[0.0, 0.8]], [[0.0, 0.0]]]])  # features (1, 0) and (.6, .8)
    b = torch.tensor([[[[0.0, 0.6]], [[2.0, 0.8]], [[0.0, 0.0]]]])  # features (0, 1) after scaling, and the same
    distance = PerceptualDistance(Trunk())
    assert distance.name == "LPIPS-form/two texels"
    torch.testing.assert_close(distance(a, b), torch.tensor([1.0]))  # (2 + 0) / 2
    torch.testing.assert_close(distance(a, b, torch.tensor([[[[1.0, 0.0]]]])), torch.tensor([2.0]))


def test_a_signed_trunk_is_given_signed_textures(texture):
    class Trunk(nn.Module):
        signed_input = True

        def features(self, texture, visibility):
            assert texture.min() < 0
            return [texture]

    assert PerceptualDistance(Trunk())(texture, texture).max() == 0


def test_the_trunk_is_not_part_of_what_is_saved_or_trained(net):
    assert not list(PerceptualDistance(net).parameters()) and not PerceptualDistance(net).state_dict()


def test_real_lpips_explains_what_is_missing(tmp_path):
    with pytest.raises(WeightsError, match="alexnet-owt-7be5be79.pth"):
        lpips_pretrained("alex", tmp_path / "none.pth")
    (tmp_path / "other.pth").write_bytes(b"not the trunk")
    with pytest.raises(WeightsError, match="SHA-256"):
        lpips_pretrained("alex", tmp_path / "other.pth")
    with pytest.raises(InputError, match="alex, vgg, squeeze"):
        lpips_pretrained("resnet")


@pytest.mark.filterwarnings("ignore")
def test_real_lpips_runs_on_a_local_trunk_and_refuses_a_wrong_one(tmp_path):
    pytest.importorskip("lpips")
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    path = tmp_path / "trunk.pth"

    def store(state: dict) -> str:
        torch.save(state, path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    trunk = {k: v for k, v in models.squeezenet1_1(weights=None).state_dict().items() if k.startswith("features")}
    distance = lpips_pretrained("squeeze", path, sha256=store(trunk), spatial=True)
    texture = torch.rand(2, 3, 64, 64)
    mask = torch.ones(2, 1, 64, 64)
    mask[..., 32:] = 0
    assert distance.name == "LPIPS-0.1/squeeze"
    assert distance(texture, texture, mask).abs().max() == 0
    torch.testing.assert_close(distance.metric.net.slice1[0].weight, trunk["features.0.weight"])
    other = torch.where(mask > 0, texture, torch.rand_like(texture))
    assert distance(texture, other, mask).abs().max() == 0 < distance(texture, other, 1 - mask).min()
    with pytest.raises(WeightsError, match="does not hold"):
        lpips_pretrained("squeeze", path, sha256=store({"features.0.weight": torch.zeros(1)}))


@pytest.mark.filterwarnings("ignore")
def test_lpips_is_there_where_its_trunk_is_and_nowhere_else(tmp_path, monkeypatch):
    pytest.importorskip("lpips")
    models = pytest.importorskip("torchvision.models")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv(LPIPS_FILE, raising=False)
    assert lpips_where_present() is None
    name = TRUNKS["squeeze"][0]
    cached = tmp_path / "hub" / "checkpoints" / name
    cached.parent.mkdir(parents=True)
    torch.save(models.squeezenet1_1(weights=None).state_dict(), cached)
    with pytest.raises(WeightsError, match="damaged or another file"):
        lpips_where_present()
    digest = hashlib.sha256(cached.read_bytes()).hexdigest()
    monkeypatch.setitem(TRUNKS, "squeeze", (name, digest[:8]))
    assert lpips_where_present().name == "LPIPS-0.1/squeeze"
    named = cached.rename(tmp_path / name)
    assert lpips_where_present() is None
    monkeypatch.setenv(LPIPS_FILE, str(named))
    assert lpips_where_present().name == "LPIPS-0.1/squeeze"
    monkeypatch.setenv(LPIPS_FILE, str(tmp_path / "weights.pth"))
    with pytest.raises(WeightsError, match="must be one of alexnet"):
        lpips_where_present()
