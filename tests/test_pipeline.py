"""The whole chain with the released weights: it runs, repeats, saves and loads like any diffusers pipeline."""

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline

from studiolike import weights
from studiolike.adaptation.losses import DARK
from studiolike.chain import Chain
from studiolike.config import InversionConfig
from studiolike.detail import Detailer, counted, fuse
from studiolike.detail.fusion import COUNTED
from studiolike.detail.model import upsample
from studiolike.errors import InputError, ProtocolError, WeightsError
from studiolike.evaluation.masked import channel_means
from studiolike.image import from_signed, linear_to_srgb, resize, srgb_to_linear, to_signed
from studiolike.inversion import observed_psnr, resize_observed
from studiolike.layout import face_mask, region_mask
from studiolike.pipeline import StudioPipeline
from studiolike.protocols import PROTOCOLS
from studiolike.stylegan2 import encode
from studiolike.tone import skin_level, with_level
from studiolike.tone.hair import hair_mask, with_hair
from studiolike.tone.network import log_texels, skin_mask
from studiolike.tone.translation import KEPT, LIGHTER, face_alone, kept_level, redder

QUICK = dict(resolution=128, steps=2)


@pytest.fixture(scope="module")
def pipe():
    return StudioPipeline.released()


@pytest.fixture(scope="module")
def phone():
    light = torch.linspace(0.4, 1.0, 64).view(1, 1, 1, -1)
    texture = resize(weights.studio_mean(), 64) * light
    visibility = torch.ones(1, 1, 64, 64)
    visibility[..., 40:60, :10] = 0
    return texture, visibility


def test_the_chain_repeats_and_has_the_promised_shapes(pipe, phone):
    first, second = pipe(*phone, **QUICK, seed=4), pipe(*phone, **QUICK, seed=4)
    assert torch.equal(first.texture, second.texture)
    assert first.texture.shape == (1, 3, 128, 128) and first.studio_lr.shape[-1] == pipe.g_studio.config.resolution
    assert first.texture.min() >= 0 and first.texture.max() <= 1 and torch.isfinite(first.texture).all()
    assert set(first.seconds) == {"encoding", "translation", "detailing"}


def test_the_chain_is_encoder_generator_and_detailer_and_without_a_size_512(pipe, phone):
    out = pipe(*phone, steps=1)
    assert out.texture.shape[-1] == 512
    small = resize_observed(*phone, pipe.g_phone.config.resolution)
    mirrored = [x.flip(-1) for x in small]
    with torch.no_grad():
        codes = encode(pipe.encoder, pipe.g_phone, *face_alone(*small))
        answers = [codes, encode(pipe.encoder, pipe.g_phone, *face_alone(*mirrored))]
        left, right = (from_signed(pipe.g_studio.synthesis(w, "none")) for w in answers)
        light = (log_texels(left) + log_texels(right.flip(-1))) / 2
        drawn = linear_to_srgb((light.exp() - DARK).clamp(0, 1))
        opinions = torch.stack([*(pipe.tone(*face_alone(*x)) for x in (small, mirrored)), skin_level(drawn)])
        toned = with_hair(with_level(drawn, opinions.median(0).values), *small)
    assert torch.allclose(out.w_plus, codes, atol=1e-5) and torch.allclose(out.studio_lr, toned, atol=1e-5)
    assert torch.allclose(pipe.encode(*phone), out.w_plus, atol=1e-5)
    assert torch.equal(pipe.translate(codes), left)


def test_what_a_face_looks_like_does_not_depend_on_ears_and_neck(pipe, phone):
    near = F.max_pool2d(torch.maximum(face_mask(64)[None], hair_mask(64)), 5, 1, 2)  # enlarged, neighbouring texels mix
    rest = (near == 0) & (region_mask("neck", 64)[None] > 0)
    assert rest.sum() > 100
    other = torch.where(rest, 0.05, phone[0]), phone[1]
    ours, theirs = (pipe(*x, resolution=128, steps=0) for x in (phone, other))
    assert torch.equal(ours.w_plus, theirs.w_plus) and torch.allclose(ours.studio_lr, theirs.studio_lr, atol=1e-5)
    assert not torch.equal(ours.texture, theirs.texture)  # but they are seen


def test_the_mirror_image_of_a_capture_gives_the_mirror_image_of_the_result(pipe, phone):
    ours, other = (
        pipe(*phone, **QUICK | {"steps": 0}, borrow=False),
        pipe(*(x.flip(-1) for x in phone), **QUICK | {"steps": 0}, borrow=False),
    )
    assert torch.allclose(ours.studio_lr, other.studio_lr.flip(-1), atol=1e-4)
    assert (ours.texture - other.texture.flip(-1)).abs().mean() < 2e-3  # the masks of eyes and lips are drawn by hand


def test_what_a_photo_shows_too_dark_is_believed_by_a_quarter_and_nothing_beyond_a_limit():
    read = torch.full((5,), -1.5)
    lifted = read + LIGHTER
    shown = lifted + torch.tensor([0.4, -0.4, 3.0, -3.0, torch.nan])
    assert torch.allclose(kept_level(read, shown) - lifted, torch.tensor([0.4, -0.1, KEPT, -KEPT / 4, 0.0]), atol=1e-6)


def test_synthetic_skin_is_nearer_to_the_colour_chart_when_it_is_made_redder():
    def hues(textures):
        light = log_texels(textures)
        mean = channel_means(light, skin_mask(textures.shape[-1]).expand(len(textures), -1, -1, -1))[..., 0, 0]
        return mean - mean.mean(1, keepdim=True), mean.mean(1)

    people = resize(weights.exemplars().float() / 255, 64).clamp(0, 1)
    for patch in ((194, 150, 130), (115, 82, 68)):
        goal = log_texels(torch.tensor(patch).view(1, 3, 1, 1) / 255).flatten()
        gaps = []
        for textures in (people, redder(people)):
            hue, level = hues(textures)
            line = torch.linalg.lstsq(torch.stack([level, torch.ones_like(level)], 1), hue).solution
            gaps.append((goal - goal.mean() - line[0] * goal.mean() - line[1]).norm())
        assert gaps[1] < 0.8 * gaps[0], patch


def test_of_a_photo_more_light_and_red_is_believed_than_is_read(pipe, phone):
    assert torch.allclose(kept_level(torch.tensor([-1.5]), torch.tensor([torch.nan])), torch.tensor([-1.35]))
    kept, plain = (log_texels(pipe(*phone, resolution=128, keep_tone=keep).studio_lr) for keep in (True, False))
    change = channel_means(kept - plain, skin_mask(kept.shape[-1])).flatten()
    assert change[0] - change[1] == pytest.approx(0.10, abs=0.02) and change[2] - change[1] == pytest.approx(0.05, abs=0.02)


def test_of_a_photo_more_is_kept_where_it_is_evenly_lit(pipe, phone):
    out = pipe(*phone, resolution=128, borrow=False, keep_tone=True)
    fine = resize_observed(*phone, 128)
    real, plain = (fuse(fine[0], counted(fine[1]), upsample(out.studio_lr, 128), real=real) for real in (True, False))
    assert torch.equal(out.texture, real) and not torch.equal(real, plain)


def test_of_a_photo_what_was_seen_at_a_slant_is_the_person_s(pipe, phone):
    seen = torch.tensor([0, COUNTED / 2, COUNTED, 0.6, 1])
    assert torch.allclose(counted(seen), torch.tensor([0, 0.5, 1, 1, 1]))
    share, whole = COUNTED / 2, resize_observed(*phone, 128)[1][:, 0]
    for settings, expected in (
        ({"keep_tone": True}, counted(share * whole)),
        ({}, share * whole),
        ({"keep_tone": True, "steps": 1}, share * whole),
        ({"keep_tone": True, "guided": False}, torch.zeros_like(whole)),
    ):
        found = pipe(phone[0], share * phone[1], resolution=128, **settings).origin[:, 0]
        assert torch.allclose(found, expected, atol=1e-5), settings


def test_skin_stays_as_light_as_a_photo_shows_it_where_that_can_be(pipe, phone):
    for shift in (-0.6, 0.6, -2.5):
        dimmed = linear_to_srgb((srgb_to_linear(phone[0]) * torch.tensor(shift).exp()).clamp(0, 1)), phone[1]
        kept = skin_level(pipe(*dimmed, resolution=128, keep_tone=True).studio_lr)
        shown = skin_level(*resize_observed(*dimmed, pipe.g_phone.config.resolution))
        own = skin_level(pipe(*dimmed, resolution=128).studio_lr) + LIGHTER
        assert (kept - own).abs() < KEPT + 0.02 and (kept - own).sign() == (shown - own).sign()
        assert ((kept - shown).abs() < 0.02) == (0 < shown - own < KEPT)
    behind = phone[0], torch.zeros_like(phone[1])
    behind[1][..., :4, :] = 1  # nothing of the face
    assert torch.isfinite(pipe(*behind, resolution=128, keep_tone=True).texture).all()


def test_without_guidance_only_the_code_comes_from_the_capture(pipe, phone):
    texture, visibility = phone
    guided, blind = (pipe(texture, visibility, **QUICK, guided=g) for g in (True, False))
    assert torch.equal(guided.studio_lr, blind.studio_lr) and not torch.equal(guided.texture, blind.texture)


def test_the_result_says_texel_by_texel_what_was_borrowed(pipe, phone):
    whole, own, blind = (pipe(*phone, resolution=128, **how) for how in ({}, {"borrow": False}, {"guided": False}))
    assert whole.origin.shape == (1, 3, 128, 128) and torch.allclose(whole.origin.sum(1), torch.ones(1, 128, 128))
    changed = (whole.texture != own.texture).any(1)
    assert changed.any() and not changed[whole.origin[:, 2] == 0].any() and (whole.origin[:, 2] > 0.9).any()
    assert not own.origin[:, 2].any() and torch.equal(own.origin[:, 0], whole.origin[:, 0])
    assert (blind.origin[:, 1] == 1).all()


def test_optimisation_from_the_encoder_s_codes_reconstructs_better(pipe, phone):
    found = pipe.invert(*phone, InversionConfig(steps=3))
    assert found.psnr_observed > observed_psnr(*phone_pair(pipe, phone, pipe.encode(*phone))) + 3


CARD = {"images": 1, "seconds": 1, "device": "cpu", "data": "synthetic heads"}


def first(net):
    return next(net.parameters())


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.fixture(scope="module")
def run(pipe, tmp_path_factory):
    """Folders of runs: one with a G_studio of both protocols, one of "few" alone, and the networks that they trained."""
    root, trained = tmp_path_factory.mktemp("runs"), {}
    for protocol, factor in (("few", 2), ("open", 3)):
        other = copy.deepcopy(pipe.g_studio)
        with torch.no_grad():
            first(other).mul_(factor)
        for name in ("both", protocol):
            weights.release(other, "g_studio", CARD, root / name / "networks", protocol)
        trained[protocol] = other.half().float()
    return root, trained


@pytest.mark.parametrize(
    ("folder", "asked", "protocol"),
    [
        ("both", None, "open"),
        ("both/networks", None, "open"),
        ("both", "few", "few"),
        ("both/networks", "few", "few"),
        ("both/networks/few", None, "few"),
        ("both/networks/few", "few", "few"),
        ("both/networks/open", None, "open"),
        ("few", None, "few"),
        ("few/networks", None, "few"),
    ],
)
def test_the_networks_of_a_run_are_of_one_protocol_and_what_it_lacks_is_the_released_one(pipe, run, folder, asked, protocol):
    root, trained = run
    chosen = StudioPipeline.chosen(root / folder, protocol=asked)
    assert torch.equal(first(chosen.g_studio), first(trained[protocol]))
    assert torch.equal(first(chosen.g_phone), first(pipe.g_phone))
    for name in ("tone", "detailer"):
        assert equal(getattr(chosen, name), weights.load(name, protocol=protocol)), name
    assert (chosen.choice.name, chosen.choice.protocol) == (folder.split("/")[0], protocol)


def test_what_a_run_cannot_give_is_refused(run, tmp_path, saved):
    root, _ = run
    with pytest.raises(WeightsError, match="has no networks of protocol open: it has those of few"):
        weights.choose(root / "few", "open")
    for which in (root / "both" / "networks" / "few", "few"):
        with pytest.raises(ProtocolError, match="protocol few, and protocol open is asked for"):
            weights.choose(which, "open")
    with pytest.raises(ProtocolError, match="as one chain"):
        weights.choose(saved, "few")
    with pytest.raises(WeightsError, match="no weights in"):
        StudioPipeline.chosen(tmp_path)


def test_a_chain_without_its_detailer_gives_the_same_texture_and_refuses_steps(pipe, phone, saved):
    wanted = pipe(*phone, resolution=128).texture
    for light in (Chain.released(detailing=False), Chain.chosen("open", detailing=False)):
        assert type(light) is Chain and light.detailer is None and light.device == pipe.device
        assert torch.equal(light(*phone, resolution=128).texture, wanted)
        with pytest.raises(InputError, match="without its detailer"):
            light(*phone, **QUICK)
    whole = Chain.released()
    assert torch.equal(whole(*phone, **QUICK).texture, pipe(*phone, **QUICK).texture)
    stored = StudioPipeline.chosen(saved, detailing=False)
    assert stored.detailer is None and torch.allclose(stored(*phone, resolution=128).texture, wanted, atol=1e-4)
    with pytest.raises(WeightsError, match="model_index"):
        Chain.chosen("many")


def test_a_protocol_chooses_among_the_released_weights(pipe):
    few = StudioPipeline.chosen(Path("few"))  # as the command line passes it
    for name in weights.PER_PROTOCOL:
        both = zip(getattr(pipe, name).parameters(), getattr(few, name).parameters(), strict=True)
        assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in both), name
        own = weights.load(name, protocol="few")
        assert all(torch.equal(a, b) for a, b in zip(own.parameters(), getattr(few, name).parameters(), strict=True))
    chosen = StudioPipeline.chosen("open")
    assert all(torch.equal(a, b) for a, b in zip(chosen.g_studio.parameters(), pipe.g_studio.parameters(), strict=True))
    with pytest.raises(ProtocolError, match="unknown protocol"):
        StudioPipeline.released(protocol="many")
    for which, protocol in (("few", None), (None, "few"), ("few", "few")):
        assert weights.choose(which, protocol) == few.choice == weights.Choice("released", "few")


def test_what_was_never_observed_does_not_change_the_result(pipe, phone):
    texture, visibility = phone
    other = torch.where(visibility > 0, texture, 1 - texture)
    assert torch.allclose(pipe(texture, visibility, **QUICK).w_plus, pipe(other, visibility, **QUICK).w_plus, atol=1e-4)


def test_a_saved_pipeline_loads_and_gives_the_same_texture(pipe, phone, tmp_path):
    pipe.save_pretrained(tmp_path)
    again = StudioPipeline.from_pretrained(str(tmp_path))
    assert torch.allclose(again(*phone, **QUICK).texture, pipe(*phone, **QUICK).texture, atol=1e-4)
    assert all(p.suffix != ".bin" for p in tmp_path.rglob("*"))
    assert len({p.stat().st_mode for p in tmp_path.rglob("*") if p.is_file()}) == 1  # weights are as readable as their settings


@pytest.fixture(scope="module")
def saved(pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    pipe.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float16, 0.004), (torch.bfloat16, 0.01), (torch.float64, 1e-5)])
def test_a_pipeline_works_in_other_precisions(pipe, phone, saved, dtype, tolerance):
    other = StudioPipeline.from_pretrained(saved, torch_dtype=dtype)
    assert {p.dtype for p in [*other.g_phone.parameters(), *other.detailer.parameters()]} == {dtype}
    texture, visibility = phone
    found, wanted = other(texture.to(dtype), visibility.to(dtype), **QUICK), pipe(texture, visibility, **QUICK)
    for name in ("texture", "studio_lr", "reconstruction"):
        assert found[name].dtype == torch.float32
        assert (found[name] - wanted[name]).abs().mean() < tolerance, name
    assert (found.psnr_observed - wanted.psnr_observed).abs() < 0.5
    moved = StudioPipeline.from_pretrained(saved).to(dtype)
    assert (moved(texture, visibility, **QUICK).texture - wanted.texture).abs().mean() < tolerance


@pytest.mark.parametrize("dtype, nearer", [(torch.float16, 1.0), (torch.bfloat16, 8.0)])  # bfloat16 has three bits less
def test_each_step_on_its_own_works_in_half_precision(pipe, phone, dtype, nearer):
    half = StudioPipeline.released().to(dtype)
    codes, few = pipe.encode(*phone), InversionConfig(steps=3)
    for given in (phone, [x.to(dtype) for x in phone]):
        found = half.encode(*given)
        assert found.dtype == torch.float32 and (found - codes).abs().mean() < 0.004 * nearer
    drawn = half.translate(codes)
    assert drawn.dtype == torch.float32 and (drawn - pipe.translate(codes)).abs().mean() < 2e-4 * nearer
    with torch.no_grad():
        for noise in ("const", "none"):
            images = [net.synthesis(codes, noise) for net in (half.g_phone, half.g_studio)]
            exact = [net.synthesis(codes, noise) for net in (pipe.g_phone, pipe.g_studio)]
            for image, wanted in zip(images, exact, strict=True):
                assert image.dtype == dtype and (image - wanted).abs().mean() < 5e-4 * nearer
        assert half.g_phone(torch.ones(1, half.g_phone.config.w_dim), 0.7).dtype == dtype
    ours, theirs = half.invert(*phone, few), pipe.invert(*phone, few)
    assert ours.w_plus.dtype == ours.reconstruction.dtype == torch.float32
    assert (ours.psnr_observed - theirs.psnr_observed).abs() < 0.05 * nearer
    assert ours.psnr_observed > observed_psnr(*phone_pair(pipe, phone, codes)) + 3


def phone_pair(pipe, phone, codes):
    """What G_phone draws of codes, the capture it is compared with, both signed, and where it was seen."""
    low, seen = resize_observed(*phone, pipe.g_phone.config.resolution)
    with torch.no_grad():
        return pipe.g_phone.synthesis(codes), to_signed(low), seen


def test_another_default_precision_changes_nothing(pipe, phone):
    wanted = pipe(*phone, **QUICK).texture
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.allclose(StudioPipeline.released()(*phone, **QUICK).texture, wanted, atol=1e-3)
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_generic_loader_of_diffusers_loads_it(pipe, phone, saved):
    generic = DiffusionPipeline.from_pretrained(saved, custom_pipeline=saved, trust_remote_code=True)
    assert type(generic) is StudioPipeline
    assert torch.equal(generic(*phone, **QUICK).texture, pipe(*phone, **QUICK).texture)


def test_offloading_is_refused_with_the_reason(pipe):
    for offload in (pipe.enable_model_cpu_offload, pipe.enable_sequential_cpu_offload):
        with pytest.raises(InputError, match="nothing to gain"):
            offload()


@pytest.mark.parametrize(
    "texture, visibility, message",
    [
        (torch.zeros(1, 3, 64, 32), None, "must be"),
        (torch.zeros(1, 3, 48, 48), None, "power of two"),
        (torch.full((1, 3, 64, 64), 1.5), None, r"\[0, 1\]"),
        (torch.full((1, 3, 64, 64), float("nan")), None, r"\[0, 1\]"),
        (torch.full((1, 3, 64, 64), 0.5), torch.zeros(1, 1, 64, 64), "nothing is observed"),
        (torch.full((1, 3, 64, 64), 0.5), torch.ones(1, 1, 32, 32), "visibility must be"),
    ],
)
def test_impossible_inputs_are_refused_with_the_reason(pipe, texture, visibility, message):
    with pytest.raises(InputError, match=message):
        pipe(texture, visibility, **QUICK)


def test_every_released_network_has_a_card_that_tells_where_it_comes_from():
    total = 0
    for name in weights.NETWORKS:
        for protocol in PROTOCOLS if name in weights.PER_PROTOCOL else ("open",):
            card, folder = weights.read_card(name, protocol=protocol), weights.folder_of(name, protocol)
            assert card["images"] > 0 and card["seconds"] > 0 and card["device"] and "synthetic heads" in card["data"]
            assert name not in weights.PER_PROTOCOL or card["protocol"] == protocol
            assert (folder / "README.md").read_text().startswith(f"# {name}")
            total += (folder / weights.FILE).stat().st_size
    assert total < 40e6
    assert not any((weights.weights_dir() / name).exists() for name in weights.PER_PROTOCOL), "those lie in few/ and open/"


def test_networks_that_learnt_from_studio_textures_lie_apart_by_protocol_and_the_others_do_not(tmp_path):
    for name in [*weights.NETWORKS, *weights.FOREIGN]:
        few, open_ = (weights.folder_of(name, protocol, tmp_path) for protocol in PROTOCOLS)
        assert (few != open_) == (name in weights.PER_PROTOCOL)
    assert weights.folder_of("detailer", "few", tmp_path) == tmp_path / "few" / "detailer"
    with pytest.raises(ProtocolError, match="unknown protocol 'many'"):
        weights.folder_of("g_phone", "many")
    detailer = Detailer(channels=(8, 16), residual_scale=0.125)
    weights.release(detailer, "detailer", {"images": 1}, tmp_path, "few")
    assert weights.load("detailer", protocol="few", root=tmp_path).config.residual_scale == 0.125
    assert weights.read_config("detailer", tmp_path, "few")["residual_scale"] == 0.125
    with pytest.raises(WeightsError, match="no weights in"):
        weights.load("detailer", root=tmp_path)


def test_unknown_and_missing_networks_are_named(tmp_path):
    with pytest.raises(WeightsError, match="no released network"):
        weights.load("g_nobody")
    with pytest.raises(WeightsError, match="make weights"):
        weights.load("g_phone", root=tmp_path)


def test_releasing_keeps_the_weights_to_half_precision(tmp_path):
    net = weights.load("identity")
    weights.release(net, "identity", {"images": 1}, tmp_path)
    again = weights.load("identity", root=tmp_path)
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)  # released once, a second rounding changes nothing
