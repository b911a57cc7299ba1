"""Few-shot training: what moves, what stays, and that a stopped run continues exactly."""

from dataclasses import dataclass, replace

import pytest
import torch
from fakes import FakeSet

from studiolike.adaptation import AdaptStage, CodeSampler, EncodedCaptures, EncodedPairs, train_studio
from studiolike.adaptation import train as train_module
from studiolike.config import AdaptConfig, Profile, profile
from studiolike.errors import InputError, ProfileError, ProtocolError, WeightsError
from studiolike.features.network import IdentityNet
from studiolike.inversion import CodeBank
from studiolike.protocols import paired_captures, permitted, studio_subjects
from studiolike.run_record import read_log
from studiolike.stylegan2 import Discriminator, Encoder, Generator
from studiolike.training import fit

CONFIG = AdaptConfig(images=12, batch=4, r1_every=2, freeze_d=1, warm_up=0.0, codes="bank_mixture")
NO_PAIRS = {"recons": 0.0, "recons_detail": 0.0, "low_light": 0.0}
QUIET = dict(device="cpu", progress=False)


@dataclass(frozen=True)
class Pairs:
    """Stands in for `EncodedPairs`: codes ``(P, L, D)`` found before, and their textures ``(P, 3, H, W)``, row by row."""

    w_plus: torch.Tensor
    studio: torch.Tensor

    def __len__(self):
        return len(self.w_plus)

    def draw(self, n, rng):
        chosen = torch.randint(len(self), (n,), generator=rng)
        return self.w_plus[chosen], self.studio[chosen]


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    g_phone = Generator(resolution=16, w_dim=16, mapping_layers=2, channel_base=64, channel_max=16).eval()
    d_phone = Discriminator(resolution=16, channel_base=64, channel_max=16).eval()
    codes = torch.randn(10, g_phone.num_ws, 16)
    bank = CodeBank(codes, torch.arange(10), torch.full((10,), 30.0), {})
    textures = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    identity = IdentityNet(resolution=16, widths=(8, 8, 8), embedding=8).eval()
    encoder = Encoder(16, 16, 64, 16, hidden=16).eval()
    torch.nn.init.normal_(encoder.rows.weight)
    return dict(
        g_phone=g_phone,
        d_phone=d_phone,
        bank=bank,
        pairs=Pairs(codes[:3], textures[:3]),
        studio=textures[:6],
        held_out=textures[6:],
        identity=identity,
        encoder=encoder,
        data=FakeSet(subjects=20, lightings=2, resolution=16),
    )


def make_stage(parts, config=CONFIG, **changes):
    p = parts | changes
    sampler = CodeSampler(config.codes, p["g_phone"], p["bank"])
    return AdaptStage(
        config, p["g_phone"], p["d_phone"], sampler, p["studio"], p["pairs"], identity=p["identity"], held_out=p["held_out"]
    )


def captured(parts, protocol="few"):
    """The sampler and the pairs that `train_studio` makes."""
    data, networks = permitted(parts["data"], protocol), (parts["encoder"], parts["g_phone"])
    pairs = EncodedPairs(EncodedCaptures(data, paired_captures(data, protocol), *networks))
    return EncodedCaptures(data, data.captures("phone"), *networks), pairs


def captured_stage(parts, config=CONFIG, protocol="few"):
    sampler, pairs = captured(parts, protocol)
    networks = parts["g_phone"], parts["d_phone"]
    return AdaptStage(config, *networks, sampler, parts["studio"], pairs, identity=parts["identity"], held_out=parts["held_out"])


def train(parts, run_dir, config=CONFIG, protocol="few", **options):
    data = permitted(parts["data"], protocol, watch=True)
    settings = replace(config, codes=options.pop("codes", "captures"))
    return train_studio(
        Profile(adapt=settings, adapt_open=replace(settings, lr=0.001)),
        parts["g_phone"],
        parts["d_phone"],
        parts["encoder"],
        data,
        protocol,
        data.studio[studio_subjects(data, protocol).numpy()],
        run_dir,
        identity=parts["identity"],
        held_out=data.studio[data.subjects("val").numpy()],
        **QUIET | options,
    )


def state(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def test_frozen_parameters_stay_bit_for_bit_and_the_others_move(parts, tmp_path):
    givers = {k: state(parts[k]) for k in ("g_phone", "d_phone", "identity")}
    stage = make_stage(parts)
    fit(stage, 12, tmp_path, **QUIET)
    trained = {id(p) for p in stage.trained}
    for name, parameter in stage.modules["g_studio"].named_parameters():
        moves = id(parameter) in trained and not name.endswith("noise_strength")  # G_studio paints without noise
        assert torch.equal(parameter, givers["g_phone"][name]) != moves, name
    judged = {id(p) for p in stage.judged}
    moved = 0
    for name, parameter in stage.modules["d_studio"].named_parameters():
        if id(parameter) not in judged:
            assert torch.equal(parameter, givers["d_phone"][name]), name
        moved += not torch.equal(parameter, givers["d_phone"][name])
    assert 0 < moved <= len(judged) < len(list(stage.modules["d_studio"].parameters()))
    for key, before in givers.items():
        assert all(torch.equal(before[k], v) for k, v in parts[key].state_dict().items()), key
    ema, studio = state(stage.modules["ema"]), state(stage.modules["g_studio"])
    assert any(not torch.equal(ema[k], studio[k]) for k in ema)
    assert any(not torch.equal(ema[k], givers["g_phone"][k]) for k in ema)


def test_train_from_names_the_blocks_that_move(parts):
    def names(train_from, **changes):
        stage = make_stage(parts, replace(CONFIG, train_from=train_from, **changes))
        trained = {id(p) for p in stage.trained}
        return {n for n, p in stage.modules["g_studio"].named_parameters() if id(p) in trained and p.requires_grad}

    everything, from_4, from_8 = names(0), names(4), names(8)
    assert from_8 < from_4 < everything
    assert not any("mapping" in n for n in everything)
    assert {n.split(".")[2] for n in from_8 if n.startswith(("blocks.4", "blocks.8"))} == {"to_rgb"}
    assert names(8, train_rgb=False) == {n for n in from_8 if n.startswith("blocks.16")}
    with pytest.raises(ProfileError, match="nothing to train"):
        names(16, train_rgb=False)


def test_the_discriminator_enters_after_the_warm_up_and_rates_fall_to_zero(parts, tmp_path):
    stage = make_stage(parts, replace(CONFIG, images=32, warm_up=0.5, cool_down=0.5))
    before, judged, rates = state(stage.modules["d_studio"]), [], []
    step = stage.step

    def watched(images, rng):
        out = step(images, rng)
        judged.append("g_adv" in out and "d_adv" in out)
        rates.append(stage.optimizers["g"].param_groups[0]["lr"])
        if images < 16:
            assert all(torch.equal(v, before[k]) for k, v in stage.modules["d_studio"].state_dict().items())
        return out

    stage.step = watched
    fit(stage, 32, tmp_path, **QUIET)
    assert judged == [False] * 4 + [True] * 4
    assert rates == pytest.approx([CONFIG.lr * part for part in (1, 1, 1, 1, 1, 0.75, 0.5, 0.25)])
    assert any(not torch.equal(v, before[k]) for k, v in stage.modules["d_studio"].state_dict().items())


def test_a_game_alone_has_no_warm_up_since_nothing_would_be_learnt_in_it(parts, tmp_path):
    alone = NO_PAIRS | {"perceptual": 0.0, "identity": 0.0, "invariance": 0.0, "other_light": 0.0}
    stage = make_stage(parts, replace(CONFIG, images=96, warm_up=0.5, **alone), pairs=None, identity=None)
    before = state(stage.modules["g_studio"])
    fit(stage, 12, tmp_path, log_every=4, **QUIET)
    log = read_log(tmp_path)
    assert len(log["g_adv"]) == 3 and torch.tensor(log["g_adv"] + log["d_adv"]).isfinite().all()
    assert any(not torch.equal(v, before[k]) for k, v in stage.modules["g_studio"].state_dict().items())


def test_without_any_term_nothing_moves(parts, tmp_path):
    none = NO_PAIRS | {"perceptual": 0.0, "identity": 0.0, "invariance": 0.0, "adversarial": 0.0}
    stage = make_stage(parts, replace(CONFIG, **none), pairs=None, identity=None)
    before = state(stage.modules["g_studio"])
    fit(stage, 12, tmp_path, **QUIET)
    assert all(torch.equal(v, before[k]) for k, v in stage.modules["g_studio"].state_dict().items())


def test_r1_touches_real_studio_textures_only(parts, tmp_path, monkeypatch):
    seen, real_r1 = [], train_module.r1_penalty

    def spy(discriminator, real):
        seen.append(real)
        return real_r1(discriminator, real)

    monkeypatch.setattr(train_module, "r1_penalty", spy)
    stage = make_stage(parts)
    fit(stage, 12, tmp_path, **QUIET)
    textures = {t.numpy().tobytes() for t in parts["studio"]}
    shown = [((x + 1) * 127.5).round().to(torch.uint8).numpy().tobytes() for batch in seen for x in batch]
    assert len(seen) == 2 and set(shown) <= textures  # steps 0 and 2 of 3
    assert "d_r1" in read_log(tmp_path)


def test_a_resumed_run_equals_an_uninterrupted_one(parts, tmp_path):
    straight = train(parts, tmp_path / "straight", images=16)
    train(parts, tmp_path / "broken", images=8)
    resumed = train(parts, tmp_path / "broken", images=16)
    assert all(torch.equal(a, b) for a, b in zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True))
    a, b = (torch.load(tmp_path / d / "checkpoint.pt", weights_only=True)["modules"]["d_studio"] for d in ("straight", "broken"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not resumed.training and not any(p.requires_grad for p in resumed.parameters())


def test_a_run_is_not_continued_from_another_g_phone(parts, tmp_path):
    train(parts, tmp_path, images=4)
    torch.manual_seed(9)
    other = Generator(resolution=16, w_dim=16, mapping_layers=2, channel_base=64, channel_max=16)
    with pytest.raises(WeightsError, match="other settings"):
        train(parts | {"g_phone": other}, tmp_path, images=8)


def test_every_source_of_codes_trains(parts, tmp_path):
    for mode in ("bank", "bank_mixture", "w", "z"):
        config = replace(CONFIG, codes=mode)
        fit(make_stage(parts, config), 4, tmp_path / mode, **QUIET)
        codes = CodeSampler(mode, parts["g_phone"], parts["bank"])(5, torch.Generator().manual_seed(0))
        assert codes.shape == (5, parts["g_phone"].num_ws, 16)
        one_w = torch.equal(codes, codes[:, :1].expand_as(codes))
        assert one_w == (mode in ("w", "z"))
        again = CodeSampler(mode, parts["g_phone"], parts["bank"])(5, torch.Generator().manual_seed(0))
        with torch.autocast("cpu", torch.bfloat16):  # a mixture is a matrix product
            CodeSampler(mode, parts["g_phone"], parts["bank"])(5, torch.Generator().manual_seed(0))
        assert torch.equal(codes, again)


def test_some_mixtures_are_moved_towards_the_mean_of_the_bank(parts):
    codes = torch.randn(2, 6, 16).repeat_interleave(20, 0)  # two faces, so that mixtures lie on the line between them
    bank = CodeBank(codes, torch.arange(40), torch.full((40,), 30.0), {})
    mean, radius = codes.mean(0), (codes[0] - codes.mean(0)).norm()

    def share_of_captures(mode):
        drawn = CodeSampler(mode, parts["g_phone"], bank)(2000, torch.Generator().manual_seed(0))
        distance = (drawn - mean).flatten(1).norm(dim=1) / radius
        assert distance.max() < 1.001
        return (distance > 0.999).float().mean()

    # of the mixtures of two or three draws, 3/8 name one face only; an eighth of all codes is then moved inwards
    assert share_of_captures("bank") == 1
    assert abs(share_of_captures("bank_mixture") - (0.5 + 0.5 * 3 / 8) * 7 / 8) < 0.03


def test_terms_of_weight_zero_leave_no_trace_in_the_log(parts, tmp_path):
    config = replace(CONFIG, **NO_PAIRS, adversarial=0.0, identity=0.0, invariance=0.0)
    stage = make_stage(parts, config, pairs=None, identity=None)
    before = state(parts["d_phone"])
    fit(stage, 4, tmp_path, **QUIET)
    log = read_log(tmp_path)
    assert [k for k in log if k.startswith("g_")] == ["g_percp"] and "d_adv" not in log
    assert all(torch.equal(before[k], v) for k, v in stage.modules["d_studio"].state_dict().items())


def test_the_log_compares_training_held_out_and_generated_textures(parts, tmp_path):
    fit(make_stage(parts), 4, tmp_path, **QUIET)
    log = read_log(tmp_path)
    for key in (
        "d_train",
        "d_held_out",
        "d_fake",
        "overfit",
        "colour_shift",
        "g_adv",
        "g_percp",
        "g_face_id",
        "g_recons",
        "g_low_light",
        "g_recons_detail",
        "d_adv",
    ):
        assert len(log[key]) == 1 and torch.isfinite(torch.tensor(log[key])).all(), key
    assert list(tmp_path.glob("preview-*.png"))


def test_the_pair_terms_pull_the_output_to_the_pairs(parts, tmp_path):
    config = replace(CONFIG, adversarial=0.0, perceptual=0.0, identity=0.0, train_from=0, lr=0.01, ema_kimg=0.01, images=120)
    stage = make_stage(parts, config)
    fit(stage, 120, tmp_path, log_every=4, **QUIET)
    log = read_log(tmp_path)
    total = [sum(v) for v in zip(*(log[k] for k in ("g_recons", "g_recons_detail", "g_low_light")), strict=True)]
    assert sum(total[-5:]) < 0.7 * sum(total[:5])


def test_missing_ingredients_and_wrong_sizes_are_refused(parts):
    with pytest.raises(ProfileError, match="no pairs"):
        make_stage(parts, pairs=None)
    with pytest.raises(InputError, match="16×16"):
        make_stage(parts, studio=torch.zeros(2, 3, 32, 32))
    with pytest.raises(ProfileError, match="code bank"):
        CodeSampler("bank", parts["g_phone"], None)
    with pytest.raises(ProfileError, match="unknown code sampling"):
        CodeSampler("y", parts["g_phone"], parts["bank"])


# -------------------------------------------------------------------------------- codes of captures as they come in


def test_with_captures_too_only_what_train_from_names_moves(parts, tmp_path):
    givers = {k: state(parts[k]) for k in ("g_phone", "d_phone", "identity", "encoder")}
    stage = captured_stage(parts, replace(CONFIG, train_from=4, train_rgb=False))
    fit(stage, 12, tmp_path, **QUIET)
    moving = {n for n, p in stage.modules["g_studio"].named_parameters() if not torch.equal(p, givers["g_phone"][n])}
    assert moving and all(n.startswith(("blocks.8", "blocks.16")) for n in moving)
    assert len(moving) == len([p for p in stage.trained if p.ndim])  # all but the strengths of noise, which is not used
    for name, before in givers.items():
        assert all(torch.equal(before[k], v) for k, v in parts[name].state_dict().items()), name
    log = read_log(tmp_path)
    assert log["g_invariance"][0] > 0 and log["g_low_light"][0] > 0 and torch.tensor(log["g_adv"]).isfinite().all()


def test_the_invariance_term_needs_twins_and_makes_them_alike(parts, tmp_path):
    config = replace(CONFIG, images=160, **NO_PAIRS, adversarial=0.0, perceptual=0.0, identity=0.0, train_from=0, lr=0.01)
    sampler, _ = captured(parts)
    stage = AdaptStage(config, parts["g_phone"], parts["d_phone"], sampler, parts["studio"])
    fit(stage, 160, tmp_path, log_every=4, **QUIET)
    gap = read_log(tmp_path)["g_invariance"]
    assert sum(gap[-8:]) < 0.7 * sum(gap[:8])
    codes = make_stage(parts, replace(config, images=4), pairs=None)  # single codes have no twin to agree with
    fit(codes, 4, tmp_path / "codes", **QUIET)
    assert not any(key.startswith("g_") for key in read_log(tmp_path / "codes"))


@pytest.mark.parametrize(
    ("batch", "unpaired", "codes", "pairs"),
    [(8, 0.5, 4, 4), (8, 0.25, 2, 6), (8, 1.0, 8, 2), (8, 0.0, 0, 8), (2, 0.5, 2, 2), (1, 0.5, 2, 2)],
)
def test_a_step_s_codes_are_shared_out_two_by_two_and_both_parts_have_twins(parts, tmp_path, batch, unpaired, codes, pairs):
    config = replace(CONFIG, adversarial=0.0, perceptual=0.0, identity=0.0, batch=batch, images=2 * batch, unpaired=unpaired)
    stage = captured_stage(parts, config)
    counted, twins = [], stage.loss.twins
    stage.loss.twins = lambda *fakes: counted.append([len(f) for f in fakes]) or twins(*fakes)
    fit(stage, 2 * batch, tmp_path, **QUIET)
    assert counted == [[n for n in (codes, pairs) if n]] * 2


def test_codes_without_twins_are_left_out_of_the_invariance_term(parts, tmp_path):
    config = replace(CONFIG, adversarial=0.0, perceptual=0.0, identity=0.0)
    networks = parts["g_phone"], parts["d_phone"]
    stage = AdaptStage(config, *networks, CodeSampler("z", parts["g_phone"]), parts["studio"], captured(parts)[1])
    counted, twins = [], stage.loss.twins
    stage.loss.twins = lambda *fakes: counted.append([len(f) for f in fakes]) or twins(*fakes)
    fit(stage, 4, tmp_path, **QUIET)
    assert counted == [[2]]


def test_terms_that_need_people_without_a_pair_are_refused_where_there_are_none(parts, tmp_path):
    with pytest.raises(ProfileError, match="set unpaired above 0"):
        captured_stage(parts, replace(CONFIG, unpaired=0.0))
    with pytest.raises(ProfileError, match="set unpaired above 0"):
        captured_stage(parts, replace(CONFIG, unpaired=0.0, adversarial=0.0, **NO_PAIRS))
    config = replace(profile("smoke").adapt_open, images=8, batch=4)
    stage = captured_stage(parts, config, "open")
    before = state(stage.modules["d_studio"])
    fit(stage, 8, tmp_path, **QUIET)
    assert {key for key in read_log(tmp_path) if key.startswith(("g_", "d_"))} == {
        "g_recons_detail",
        "g_low_light",
        "g_invariance",
    }
    assert all(torch.equal(v, before[k]) for k, v in stage.modules["d_studio"].state_dict().items())


def test_each_protocol_draws_its_own_pairs_and_none_of_the_others(parts, tmp_path):
    drawn = {}
    for protocol in ("few", "open"):
        pairs = captured(parts, protocol)[1]
        drawn[protocol] = {t.numpy().tobytes() for t in pairs.draw(400, torch.Generator().manual_seed(0))[1]}
        wanted = parts["data"].studio[studio_subjects(parts["data"], protocol).numpy()]
        assert drawn[protocol] == {t.tobytes() for t in wanted}
        train(parts, tmp_path / protocol, protocol=protocol, images=4)
    assert drawn["few"] < drawn["open"]
    with pytest.raises(ProtocolError):  # a set that shows less than the protocol needs
        train(parts | {"data": permitted(parts["data"], "few")}, tmp_path / "closed", protocol="open", images=40)


def test_runs_of_two_protocols_or_of_two_encoders_are_never_mixed(parts, tmp_path):
    train(parts, tmp_path, images=4)
    with pytest.raises(WeightsError, match="other settings"):
        train(parts, tmp_path, protocol="open", images=8)
    torch.manual_seed(9)
    with pytest.raises(WeightsError, match="other settings"):
        train(parts | {"encoder": Encoder(16, 16, 64, 16, hidden=16)}, tmp_path, images=8)


def test_codes_of_a_bank_train_beside_encoded_pairs(parts, tmp_path):
    trained = train(parts, tmp_path, codes="bank", bank=parts["bank"], images=4)
    assert any(not torch.equal(v, parts["g_phone"].state_dict()[k]) for k, v in trained.state_dict().items())
    with pytest.raises(ProfileError, match="code bank"):
        train(parts, tmp_path / "none", codes="bank", images=4)
