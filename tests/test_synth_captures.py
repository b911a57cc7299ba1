"""What comes in: one photograph or a film, light of real places, foreign shadows, glasses, cameras that err."""

from pathlib import Path

import pytest
import torch

from studiolike.image import luminance, srgb_to_linear
from studiolike.layout import face_mask, region_mask
from studiolike.synth import phone_capture, sky, studio_texture, synthesise_subjects
from studiolike.synth.camera import OPEN_MOUTH, SINGLE, draw_cameras, mesh_visibility, meter
from studiolike.synth.develop import PERTURBED, perturb_spectrum
from studiolike.synth.foreign import GLASSES, draw_glasses, foreign_shadow, loose_strands
from studiolike.synth.light import REAL, diffuse, draw_lighting, irradiance, severity

CPU = torch.device("cpu")
MANY = torch.arange(1500)


@pytest.fixture(scope="module")
def heads():
    with torch.no_grad():
        return synthesise_subjects(torch.arange(70, 74), 64)


def near(share, promised):
    """Within four standard errors of a share of `MANY`."""
    return abs(float(share) - promised) < 4 * (promised * (1 - promised) / len(MANY)) ** 0.5


def test_half_of_the_captures_are_one_photograph_and_half_the_light_is_of_real_places():
    cameras, light = draw_cameras(MANY, CPU), draw_lighting(MANY)
    assert near(cameras.single.float().mean(), SINGLE) and SINGLE == 0.5
    assert near((light.place >= 0).float().mean(), REAL) and REAL == 0.5
    assert near(draw_glasses(MANY, CPU).worn.mean(), GLASSES)
    assert (cameras.use[cameras.single].sum(1) == 1).all() and (cameras.use[~cameras.single].sum(1) >= 2).all()
    both = cameras.single & (light.place >= 0)  # drawn apart from each other
    assert near(both.float().mean(), 0.25)
    assert len(light.place.unique()) == 27  # every place, and none
    key = (light.key_colour.sum(1) > 0).float()
    assert 0.4 < key[light.place >= 0].mean() < 0.9


def test_landmarks_err_by_one_to_two_per_cent_of_the_face_in_a_photograph_and_differently_under_each_light(heads):
    cameras = draw_cameras(MANY, CPU)
    drift = cameras.drift[cameras.single, 0] / 0.63
    assert 0.007 < drift.min() and drift.max() < 0.0155  # the even part comes on top
    whole = (cameras.drift[cameras.single, 0] ** 2 + (cameras.shift[cameras.single, 0] ** 2).mean(1)).sqrt() / 0.63
    assert 0.010 < whole.median() < 0.020
    assert len(cameras.shift[:, 0].unique(dim=0)) == len(MANY)


def test_a_photograph_shows_nothing_beyond_the_faces_oval_and_a_film_does(heads):
    rows = torch.arange(16) % 4
    with torch.no_grad():
        shots = phone_capture(heads[rows], torch.arange(16))
    outside = face_mask(64) < 0.5
    single = shots.single
    assert 3 < single.sum() < 13
    assert (shots.visibility[single] * outside == 0).all()
    seen = (shots.visibility > 0).float().mean((1, 2, 3))
    assert (seen[single] < face_mask(64).mean()).all() and (seen[single] > 0.15).all()
    assert (seen[~single] > seen[single].max()).all()
    assert (shots.visibility[single].amax((1, 2, 3)) > 0.95).all()


def test_the_border_of_what_a_mesh_saw_changes_and_parted_lips_are_not_seen():
    seeds = torch.arange(200)
    seen = mesh_visibility(torch.ones(200, 1, 64, 64), torch.ones(200, 1, 64, 64), seeds)
    assert (seen * (face_mask(64) <= 0.5) == 0).all()
    area = (seen > 0.5).float().mean((1, 2, 3))
    assert area.std() > 0.005 and area.min() > 0.6 * face_mask(64).mean()
    lips = region_mask("inner_lips", 64)[0]
    row, column = divmod(int(lips.argmax()), 64)
    closed = (seen[:, 0, row, column] > 0.5).float().mean()
    assert abs(float(closed) - (1 - OPEN_MOUTH)) < 0.12


def test_a_photograph_of_a_turned_head_loses_the_far_side():
    facing = torch.linspace(-0.2, 1, 64).expand(1, 1, 64, 64)
    seen = mesh_visibility(facing, torch.ones(1, 1, 64, 64), torch.tensor([3]))
    assert (seen[..., :18] == 0).all() and seen[..., 42:46].max() > 0.9
    ones = torch.ones(1, 1, 1024, 1024)
    large = mesh_visibility(ones, ones, torch.tensor([3]))
    small = mesh_visibility(ones[..., :256, :256], ones[..., :256, :256], torch.tensor([3]))
    assert (torch.nn.functional.avg_pool2d(large, 4) - small).abs().mean() < 0.01  # one capture at any resolution


def test_the_places_are_finite_named_in_the_notice_and_scaled_alike():
    maps, suns = sky.places()
    assert maps.shape == (26, 3, 32, 64) and suns.shape == (26, 7)
    assert maps.isfinite().all() and suns.isfinite().all() and maps.min() >= 0 and suns[:, 3:].min() >= 0
    assert torch.allclose(suns[:, :3].norm(dim=1), torch.ones(26), atol=1e-5)
    _, solid = sky.map_directions(32, 64)
    assert abs(float(solid.sum()) / 12.566 - 1) < 1e-3
    average = (luminance(maps).flatten(1) * solid).sum(1) / solid.sum() + luminance(suns[:, 3:6, None, None]).flatten() / 4
    assert torch.allclose(average, torch.ones(26), atol=5e-3)
    sun = suns[suns[:, 3:6].sum(1) > 0]
    assert 8 < len(sun) < 26 and (sun[:, 3:6].amax(1) < 6 * sun[:, 3:6].amin(1)).all() and (sun[:, 6] < 0.13).all()
    root = Path(sky.__file__).parents[2]
    if (root / "NOTICE").is_file():
        notice = (root / "NOTICE").read_text()
        assert "environments.npz" in notice and "CC0" in notice and "Poly Haven" in notice


def test_a_place_is_seen_in_its_own_direction_and_a_turn_of_the_place_turns_its_light(heads):
    maps, _ = sky.places()
    place = torch.tensor([7])
    d, solid = sky.map_directions(32, 64)
    seen = sky.look(place, d.T.reshape(1, 3, 32, 64), 30.0)
    assert torch.allclose(seen, sky.filtered()[place, :, 2], rtol=0.02, atol=0.02)
    assert abs(float((seen.mean(1).flatten() * solid).sum() / (maps[7].mean(0).flatten() * solid).sum()) - 1) < 0.05
    light = draw_lighting(torch.arange(2))
    light.ambient.zero_(), light.lobe_colour.zero_(), light.key_colour.zero_()
    light.place[:] = 7
    zero, one = torch.zeros(2), torch.ones(2)
    light.turn = sky.turning(torch.tensor([1.5, -1.5]), zero, one)
    sides, _ = irradiance(heads.position[:2], heads.smooth_normals[:2], heads.normals[:2], light)
    right, left = sides[..., 20:44, 12:26].mean((1, 2, 3)), sides[..., 20:44, 38:52].mean((1, 2, 3))
    assert (right / left)[0].log() * (right / left)[1].log() < 0
    light.turn = sky.turning(zero, zero, torch.tensor([1.0, -1.0]))
    ahead, _ = irradiance(heads.position[:2], heads.smooth_normals[:2], heads.normals[:2], light)
    assert (ahead[0] - ahead[1]).abs().max() > 1e-3  # mirrored


def test_the_sun_of_a_place_stands_where_its_map_says():
    light = draw_lighting(MANY)
    rows = ((light.place >= 0) & (light.key_colour.sum(1) > 0)).nonzero().flatten()
    there = (light.turn[rows] @ light.key_direction[rows, :, None])[..., 0]
    assert torch.allclose(there, sky.places()[1][light.place[rows], :3], atol=1e-5)
    front = (light.key_direction[rows, 2] > 0).float().mean()
    assert 0.6 < front < 0.95  # seldom from behind


def test_foreign_shadows_leave_light_vary_in_softness_and_make_the_light_more_uneven(heads):
    seeds = torch.arange(60)
    position = heads.position[torch.arange(60) % 4]
    frame = torch.eye(3)[:2].expand(60, 2, 3)
    passing = foreign_shadow(position, frame, seeds)
    assert passing.isfinite().all() and 0 <= passing.min() and passing.max() <= 1
    on_face = passing[:, 0][:, face_mask(64)[0] > 0.5]
    shaded = (on_face < 0.5).float().mean(1)
    assert ((shaded > 0.05) & (shaded < 0.95)).float().mean() > 0.5
    half = ((on_face > 0.3) & (on_face < 0.7)).float().mean(1)
    assert half.min() < 0.02 and half.max() > 0.05  # hard ones and soft ones
    light = draw_lighting(torch.arange(4))
    light.key_colour[:] = 3.0
    light.key_direction[:] = torch.tensor([0.0, 0.0, 1.0])
    plain, _ = irradiance(heads.position, heads.smooth_normals, heads.normals, light)
    edge = (heads.position[:, 1:2] < 0).float()
    cut, lit = irradiance(heads.position, heads.smooth_normals, heads.normals, light, None, edge, torch.zeros(4))
    assert (severity(cut, face_mask(64)) > severity(plain, face_mask(64))).all() and (lit <= edge).all()


def test_the_border_of_a_hard_shadow_is_red_on_skin(heads):
    light = draw_lighting(torch.arange(4))
    light.ambient.zero_(), light.lobe_colour.zero_()
    light.place[:] = -1
    light.key_colour[:] = 1.0
    light.key_direction[:] = torch.tensor([0.0, 0.0, 1.0])
    edge = (heads.position[:, 1:2] < 0).float()
    skin, rest = torch.ones_like(edge), torch.zeros(4)
    field, _ = irradiance(heads.position, heads.smooth_normals, heads.normals, light, skin, edge, rest)
    dark = (edge == 0) & (face_mask(64) > 0.5) & (heads.position[:, 1:2] < 1.0)
    red, blue = (float((field[:, k : k + 1] * dark).sum()) for k in (0, 2))
    assert red > 0 and blue < 0.8 * red  # at 64² blue light travels less than a texel


def test_glasses_slide_with_the_view_and_darken_only_where_they_are(heads):
    glasses = draw_glasses(MANY, CPU)
    glasses = glasses[glasses.worn.nonzero().flatten()[:4]]
    ahead, lens = glasses.on_face(torch.tensor([[0.0, 0.0, 1.0]]).expand(4, 3), 128)
    _, aside = glasses.on_face(torch.tensor([[0.6, 0.0, 0.8]]).expand(4, 3), 128)
    assert 0.002 < ahead.mean() < 0.05 and torch.allclose(ahead, ahead.flip(-1), atol=1e-3)  # symmetric from the front
    eye = region_mask("left_eye", 128)
    assert ((lens * eye).sum((1, 2, 3)) > 0.9 * eye.sum()).all()
    centre = [(mask.sum((1, 2)) * torch.arange(128.0)).sum(1) / mask.sum((1, 2, 3)) for mask in (lens, aside)]
    assert (centre[1] < centre[0] - 1).all()  # the camera goes to +u, the glasses over the face to −u
    white = torch.ones(4, 3, 128, 128)
    worn = glasses.before(white, torch.tensor([[0.0, 0.0, 1.0]]).expand(4, 3), white)
    assert (worn[:, :, 100:] == 1).all() and (worn.amin((1, 2, 3)) < 0.6).all()


def test_loose_strands_hang_over_some_foreheads_and_never_over_bald_ones(heads):
    rows = torch.arange(120) % 4
    cover = loose_strands(heads[rows], torch.arange(120))
    share = (cover.amax((1, 2, 3)) > 0.2).float().mean()
    assert cover.min() >= 0 and cover.max() <= 1 and 0.02 < share < 0.3
    bald = heads[rows]
    bald.hair_style[:] = 0
    assert (loose_strands(bald, torch.arange(120)) == 0).all()


def test_exposure_and_white_balance_err_far_enough_to_cover_dark_and_yellow_pictures(heads):
    rows = torch.arange(600) % 4
    albedo = heads.albedo_linear[rows]
    light = torch.ones_like(albedo)
    exposure, gains, own = meter(albedo, light, torch.arange(600))
    spread = exposure.view(150, 4).log().quantile(torch.tensor([0.02, 0.98]), dim=0)
    assert (spread[1] - spread[0] > 1.6).all()  # e^1.6: more than two stops
    blue = (gains[:, 2] / gains[:, 1]).log()
    assert 0.1 < (blue < -0.5).float().mean() < 0.35 and blue.median().abs() < 0.15
    assert 0.005 < (blue > 0.25).float().mean() < 0.12
    assert own.shape == (600, 3, 3) and (own > 0).all()


def test_the_amplitudes_are_perturbed_in_a_share_of_the_pictures_and_colour_stays():
    x = torch.rand(400, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    y = perturb_spectrum(x, torch.arange(400))
    changed = (y != x).flatten(1).any(1)
    assert abs(float(changed.float().mean()) - PERTURBED) < 0.1
    assert torch.allclose(x.mean((2, 3)), y.mean((2, 3)), atol=1e-4)
    a, b = (torch.fft.fft2(z[changed]).abs() for z in (x, y))
    change = (b / a).log().abs()
    assert change[..., 14:18, 14:18].mean() > 1.5 * change[..., 1:3, 1:3].mean()


def test_a_capture_hangs_on_its_two_seeds_and_not_on_its_batch(heads):
    rows, seeds = torch.arange(8) % 4, torch.arange(20, 28)
    with torch.no_grad():
        once, again = (phone_capture(heads[rows], seeds) for _ in range(2))
        turned = phone_capture(heads[rows.flip(0)], seeds.flip(0))
        alone = [phone_capture(heads[rows[k : k + 1]], seeds[k : k + 1]) for k in range(8)]
    assert torch.equal(once.texture, again.texture) and torch.equal(once.visibility, again.visibility)
    assert (turned.texture.flip(0) - once.texture).abs().mean() < 2e-3
    assert all((alone[k].texture[0] - once.texture[k]).abs().mean() < 2e-3 for k in range(8))
    assert torch.equal(torch.cat([s.single for s in alone]), once.single)


def test_captures_leave_the_subject_and_its_studio_texture_alone(heads):
    before, albedo = studio_texture(heads), heads.albedo_linear.clone()
    with torch.no_grad():
        for k in range(3):
            phone_capture(heads, torch.arange(4) + 50 * k)
    assert torch.equal(studio_texture(heads), before) and torch.equal(heads.albedo_linear, albedo)


def test_a_dome_of_light_still_gives_one(heads):
    """The filtered maps and the lobes use one measure: a place of radiance 1 everywhere lights like an even dome."""
    ones = torch.ones(4, 80, 3)
    assert diffuse(heads.normals, ones).max() < 1.05


def test_pictures_reach_from_dark_to_burnt_and_from_yellow_to_neutral(heads):
    """What captures of real photographs showed: median luminance .05–.4, up to a tenth clipped, blue down to a fifth of green."""
    rows = torch.arange(64) % 4
    with torch.no_grad():
        shots = phone_capture(heads[rows], torch.arange(200, 264))
    face = face_mask(64)[0] > 0.5
    linear = srgb_to_linear(shots.texture)[..., face]
    middle = luminance(linear[..., None])[..., 0].median(2).values.flatten()
    assert middle.min() < 0.06 and middle.max() > 0.35 and 0.10 < middle.median() < 0.35
    burnt = (shots.texture.amax(1)[..., face] > 0.98).float().mean(1)
    assert 0.05 < (burnt > 0.02).float().mean() < 0.5
    blue = (linear[:, 2].mean(1) / linear[:, 1].mean(1)).sort().values
    assert blue[3] < 0.40 and blue[-8] > 0.6
