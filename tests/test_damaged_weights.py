"""A weight that is no finite number is told before anything is written: its pictures would be black, or wrong and look good."""

import copy
import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from studiolike import io, weights
from studiolike.chain import Chain
from studiolike.cli import main
from studiolike.errors import WeightsError
from studiolike.pipeline import StudioPipeline


def spoil(folder, value):
    """Put one wrong number into the weights of a folder, and their new sum on the card, as whoever trained them would."""
    state = load_file(folder / weights.FILE)
    name = next(name for name, weight in state.items() if weight.is_floating_point() and weight.numel() > 1)
    state[name].view(-1)[1] = value
    save_file(state, folder / weights.FILE, {"format": "pt"})
    if (folder / "card.json").is_file():
        card = json.loads((folder / "card.json").read_text())
        card["sha256"] = hashlib.sha256((folder / weights.FILE).read_bytes()).hexdigest()
        (folder / "card.json").write_text(json.dumps(card))
    return name


@pytest.fixture(scope="module")
def chain():
    return Chain.released(detailing=False)


@pytest.fixture
def texture(tmp_path):
    return io.write_image(torch.rand(3, 128, 128), tmp_path / "in" / "x.png")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_released_network_and_one_of_a_run_are_refused(value, tmp_path, texture, capsys):
    folder = tmp_path / "run" / "networks" / "open" / "g_studio"
    shutil.copytree(weights.folder_of("g_studio"), folder)
    name = spoil(folder, value)
    with pytest.raises(WeightsError, match=f"no finite numbers.*{name}"):
        weights.load("g_studio", root=tmp_path / "run" / "networks")
    words = ["convert", str(texture), "--kind", "texture", "--weights", str(tmp_path / "run"), "-o", str(tmp_path / "o.png")]
    assert main(words) == 2 and "no finite numbers" in capsys.readouterr().err and not (tmp_path / "o.png").exists()


def test_a_network_of_a_saved_pipeline_is_refused(tmp_path, chain, texture, capsys):
    names = ("g_phone", "encoder", "g_studio", "tone")
    StudioPipeline(**{name: getattr(chain, name) for name in names}).save_pretrained(tmp_path / "saved")
    spoil(tmp_path / "saved" / "tone", float("nan"))
    with pytest.raises(WeightsError, match="tone of .*no finite numbers"):
        StudioPipeline.from_pretrained(tmp_path / "saved")
    words = ["convert", str(texture), "--kind", "texture", "--weights", str(tmp_path / "saved"), "-o", str(tmp_path / "o.png")]
    assert main(words) == 2 and "no finite numbers" in capsys.readouterr().err and not (tmp_path / "o.png").exists()


@pytest.mark.parametrize("name", ["encoder", "g_studio", "tone"])
def test_what_networks_that_were_spoilt_in_memory_give_is_refused(name, chain):
    spoilt = copy.copy(chain)
    network = copy.deepcopy(getattr(chain, name))
    with torch.no_grad():
        for weight in network.parameters():
            weight.view(-1)[0] = float("nan")
    setattr(spoilt, name, network)
    texture = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(chain(texture, resolution=128).texture).all()
    with pytest.raises(WeightsError, match="no finite numbers"):
        spoilt(texture, resolution=128)
