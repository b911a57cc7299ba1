"""What the released networks were trained with is what ``make weights`` would train with, but for a list of exceptions."""

import dataclasses
from pathlib import Path

import pytest

from studiolike import recipes, weights
from studiolike.chapters.pretraining import history
from studiolike.config import profile

ROOT = Path(__file__).resolve().parents[1]
CPU = profile("cpu")
STAGE_1 = ("g_phone", "d_phone", "curvature", "encoder")
SECOND_LEG = {"images", "warm_up"}  # trained on from networks that had learnt from an earlier generator's heads
# (network, protocol) → settings of the card that are not the profile's. CONTRIBUTING explains them.
EXCEPTIONS = {
    ("g_phone", "open"): SECOND_LEG,
    ("d_phone", "open"): SECOND_LEG,
    ("curvature", "open"): SECOND_LEG,
    ("g_studio", "few"): {"precision"},
    ("g_studio", "open"): {"precision"},
    ("detailer", "few"): {"precision"},
    ("detailer", "open"): {"precision"},
}
# settings that are older or newer than a card
GONE = {"path_length"}  # always 0
LATER = {("g_studio", "open"): {"other_light"}}  # off under this protocol
RELEASED = [(n, p) for n in weights.NETWORKS for p in (("few", "open") if n in weights.PER_PROTOCOL else ("open",))]


def expected(name, protocol):
    """``(part of the card's settings, settings of the profile)``."""
    part = {"encoder": "encoder", "tone": "tone", "detailer": "detail", "identity": "identity", "identity_eval": "identity"}
    if name == "g_studio":
        return None, CPU.adaptation(protocol)
    part = part.get(name, "pretrain")
    return part, getattr(CPU, part)


@pytest.mark.parametrize(("name", "protocol"), RELEASED)
def test_a_card_says_what_the_profile_would_train_with_but_for_the_exceptions(name, protocol):
    card = weights.read_card(name, protocol=protocol)
    part, config = expected(name, protocol)
    wanted = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(config).items()}
    settings = card["settings"]
    told = {k: v for k, v in (settings[part] if part else settings).items() if k in wanted or part}
    images = wanted.pop("images")
    told.pop("images", None)
    wanted.pop("compile", None), told.pop("compile", None)  # changes no result
    if name == "g_studio":
        resolution, gamma = CPU.generator.resolution, wanted.pop("r1")
        assert settings["r1_gamma"] == pytest.approx(gamma * resolution**2 / wanted["batch"], rel=1e-3)
    if name in ("g_phone", "d_phone", "curvature"):
        assert settings["generator"] == dataclasses.asdict(CPU.generator)
    differing = {key for key in wanted.keys() & told.keys() if wanted[key] != told[key]}
    differing |= {"images"} if not images <= card["images"] < images + config.batch else set()
    differing |= {"precision"} if settings.get("precision", CPU.precision) != CPU.precision else set()
    assert differing == EXCEPTIONS.get((name, protocol), set())
    assert told.keys() - wanted.keys() <= GONE
    assert wanted.keys() - told.keys() == LATER.get((name, protocol), set())
    spec = dataclasses.asdict(recipes.set_spec(CPU.data, detailed=name == "detailer"))
    assert settings["data"] == spec and card["profile"] == "cpu"


def test_networks_that_were_not_trained_from_noise_are_named_in_contributing():
    warm = {n for n, p in RELEASED if weights.read_card(n, protocol=p).get("started_from")}
    assert warm == set(STAGE_1)
    told = (ROOT / "CONTRIBUTING.md").read_text().split("## Weights and speed")[1].split("\n## ")[0]
    for name in {name for name, _ in EXCEPTIONS} | warm:
        assert f"`{name}`" in told
    first = weights.read_card("g_phone")["started_from"]
    assert first["data"] != weights.read_card("g_phone")["data"] and first["started_from"] is None


def test_a_network_s_history_has_every_leg_in_order():
    first = {"images": 3, "data": "old heads", "started_from": None}
    last = {"images": 2, "data": "heads", "settings": {"pretrain": {"warm_up": 0}}, "started_from": first}
    assert history(last) == "3 showings (old heads), and then from 2 showings (heads), in the game alone"
    assert history({"images": 2, "data": "heads"}) == "2 showings (heads)"
