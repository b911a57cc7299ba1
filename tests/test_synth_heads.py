"""The head generator: seeds, tones, identity, and the light's bookkeeping."""

import pytest
import torch

from studiolike.image import linear_to_srgb, luminance
from studiolike.layout import face_mask, region_mask
from studiolike.synth import phone_capture, studio_texture, synthesise_subjects
from studiolike.synth.develop import jpeg
from studiolike.synth.draw import Draws, blur, fbm, spots, strokes
from studiolike.synth.light import draw_lighting, irradiance, severity
from studiolike.synth.phone import STAGES
from studiolike.synth.skin import black_body, melanin_of_tone, skin_colour

SEEDS = torch.arange(40, 44)


@pytest.fixture(scope="module")
def heads():
    with torch.no_grad():
        return synthesise_subjects(SEEDS, 64)


@pytest.fixture(scope="module")
def shots(heads):
    with torch.no_grad():
        return phone_capture(heads, torch.arange(4))


def test_one_seed_is_one_person_and_one_picture(heads, shots):
    again = synthesise_subjects(SEEDS, 64)
    assert torch.equal(again.albedo_linear, heads.albedo_linear) and torch.equal(again.position, heads.position)
    assert torch.equal(phone_capture(again, torch.arange(4)).texture, shots.texture)


def test_recording_the_stages_of_a_capture_changes_nothing_and_ends_with_the_capture(heads, shots):
    stages = {}
    with torch.no_grad():
        again = phone_capture(heads, torch.arange(4), stages)
    assert torch.equal(again.texture, shots.texture) and torch.equal(again.visibility, shots.visibility)
    assert tuple(stages) == STAGES
    assert torch.equal(stages["JPEG"], shots.texture)
    assert all(x.shape == shots.texture.shape and 0 <= x.min() and x.max() <= 1 for x in stages.values())
    unseen = (shots.visibility == 0).expand_as(shots.texture)
    assert (stages["blur"][unseen] == 0).all() and (stages["holes filled"][unseen] > 0).any()
    names = list(stages)
    for before, after in zip(names, names[1:], strict=False):  # every step does something
        assert not torch.equal(stages[before], stages[after]), after


def test_a_subject_does_not_depend_on_its_batch(heads):
    alone = synthesise_subjects(SEEDS[2:3], 64)
    torch.testing.assert_close(alone.albedo_linear[0], heads.albedo_linear[2], atol=2e-3, rtol=1e-3)


def test_a_subject_is_the_same_person_at_another_resolution(heads):
    with torch.no_grad():
        large = torch.nn.functional.avg_pool2d(synthesise_subjects(SEEDS[:2], 256).albedo_linear, 4)
    own = (large - heads.albedo_linear[:2]).abs().mean()
    other = (large.flip(0) - heads.albedo_linear[:2]).abs().mean()
    assert own < 0.3 * other


def test_textures_are_finite_and_in_range(heads, shots):
    for x in (studio_texture(heads), shots.texture, shots.visibility):
        assert x.isfinite().all() and x.min() >= 0 and x.max() <= 1
    assert torch.allclose(heads.normals.norm(dim=1), torch.ones(4, 64, 64), atol=1e-3)
    assert 0 < heads.occlusion.min() and heads.occlusion.max() <= 1


def test_visibility_is_exactly_zero_behind_the_ears_and_somewhere_one(shots):
    behind = shots.visibility[:, 0, 20:40, [0, 1, 62, 63]]
    assert (behind == 0).all()
    assert ((shots.visibility == 0).float().mean((1, 2, 3)) > 0.1).all()
    bridge = shots.visibility[:, 0, 18:28, 30:34].mean((1, 2))  # turned to the camera in every film; half of it in a profile
    assert (bridge[~shots.single] > 0.8).all() and (bridge > 0.4).all() and not shots.single.all()


def test_skin_tones_cover_measured_lightness():
    tone = torch.linspace(0, 1, 5)
    rgb = skin_colour(melanin_of_tone(tone).view(5, 1, 1, 1), torch.full((5, 1, 1, 1), 0.012))
    y = luminance(rgb).flatten()
    lightness = 116 * y ** (1 / 3) - 16  # CIE L*
    assert (lightness.diff() < 0).all()
    assert 60 < lightness[0] < 75 and 20 < lightness[-1] < 35
    r, g, b = rgb[:, :, 0, 0].unbind(1)
    assert ((r > g) & (g > b)).all()


def test_subjects_spread_over_tones_from_light_to_dark():
    with torch.no_grad():
        texture = studio_texture(synthesise_subjects(torch.arange(12), 32))
    skin = region_mask("skin_face", 32)
    y = (luminance(texture) * skin).sum((1, 2, 3)) / skin.sum()
    assert y.max() - y.min() > 0.2 and y.std() > 0.06


def test_the_studio_knows_nothing_of_the_phones_light(heads):
    before = studio_texture(heads)
    phone_capture(heads, torch.arange(100, 104))
    assert torch.equal(studio_texture(heads), before)
    assert (before.amax((2, 3)) > 0.05).all()


def test_one_subject_under_two_lights_is_nearer_to_itself_than_to_others_in_the_studio(heads):
    """Identity must show: studio textures of different people differ, and ignoring mean colour they still do."""
    x = studio_texture(heads) * face_mask(64)
    x = x - (x.sum((2, 3), keepdim=True) / face_mask(64).sum()) * face_mask(64)
    distance = torch.cdist(x.flatten(1), x.flatten(1)) + torch.eye(4) * 99
    assert distance.min() > 0.02 * face_mask(64).sum().sqrt()


def test_both_eyes_share_one_iris(heads):
    from studiolike.synth.traits import eye_frame

    with torch.no_grad():
        albedo = synthesise_subjects(SEEDS[:2], 256).albedo_linear
    patches = []
    for name in ("left_eye", "right_eye"):
        column, row = (eye_frame(name)[0] * 256).round().long().tolist()
        patches.append(albedo[:, :, row - 2 : row + 3, column - 4 : column + 5].mean((2, 3)))
    assert (patches[0] - patches[1]).abs().max() < 0.06


def test_severity_grows_with_a_hard_key(heads):
    light = draw_lighting(torch.arange(4))
    light.lobe_colour.zero_()
    values = []
    for power in (0.0, 0.3, 3.0):
        light.key_colour[:] = power
        light.key_direction[:] = torch.tensor([0.8, 0.3, 0.52])
        field, _ = irradiance(heads.position, heads.smooth_normals, heads.normals, light)
        values.append(severity(field, face_mask(64)))
    assert (values[0] < values[1]).all() and (values[1] < values[2]).all()
    assert (values[2] <= 1).all() and (values[0] >= 0).all()


def test_a_head_casts_a_shadow_on_the_side_away_from_the_light(heads):
    light = draw_lighting(torch.arange(4))
    light.key_colour[:] = 1
    light.key_direction[:] = torch.tensor([1.0, 0.0, 0.0])  # from the subject's left, the map's right
    _, lit = irradiance(heads.position, heads.smooth_normals, heads.normals, light)
    assert lit[..., 20:40, 44:52].mean() > 0.7 and lit[..., 20:40, 10:18].mean() < 0.2


def test_lightings_differ_and_about_half_have_a_key():
    light = draw_lighting(torch.arange(300))
    share = (light.key_colour.sum(1) > 0).float().mean()
    assert 0.35 < share < 0.65
    assert black_body(torch.tensor([2500.0]))[0, 0] > black_body(torch.tensor([9000.0]))[0, 0]


def test_noise_is_unit_and_strokes_keep_their_area():
    noise = fbm(Draws(torch.arange(3), "x"), 64, 4, 3)
    assert noise.std((2, 3)).sub(1).abs().max() < 1e-3
    start = torch.tensor([[[0.3, 0.5]]])
    one = torch.ones(1, 1)
    for n in (32, 64):
        area = strokes(start, one * 0.3, one * 0.2, one * 0.01, n).sum() / n**2
        assert abs(float(area) / 0.002 - 1) < 0.2
    round_ = spots(torch.tensor([[[0.5, 0.5]]]), one * 0.05, one, 64)
    assert abs(float(round_.sum()) / 64**2 - 2 * 3.1416 * 0.05**2) < 1e-3
    assert torch.allclose(blur(torch.ones(1, 1, 32, 32), 0.1), torch.ones(1, 1, 32, 32), atol=1e-4)


def test_jpeg_loses_more_at_lower_quality():
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25
    x = linear_to_srgb(blur(x, 0.02).clamp(0, 1))
    loss = [float((jpeg(x, torch.tensor([q])) - x).abs().mean()) for q in (20.0, 60.0, 95.0)]
    assert loss[0] > loss[1] > loss[2] and loss[2] < 0.02
