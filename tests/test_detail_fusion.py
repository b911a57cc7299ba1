"""Gradient-domain fusion: the generator's light, the phone's detail, and nothing of what was not seen."""

import pytest
import torch
import torch.nn.functional as F

from studiolike.detail import fuse, fusion
from studiolike.detail.fusion import STEP, WIDTH, bilateral, relief
from studiolike.errors import InputError
from studiolike.image import blur, linear_to_srgb, luminance, srgb_to_linear
from studiolike.layout import REGIONS, landmark_uv, region_mask, texel_uv

SIZE = 128


@pytest.fixture(scope="module")
def truth():
    """A face under even light, sRGB: detail of one texel in all channels and of many in each, skin from dark to light."""
    rng = torch.Generator().manual_seed(0)
    rough = torch.rand(2, 1, SIZE, SIZE, generator=rng)
    wide = F.interpolate(torch.rand(2, 3, 6, 6, generator=rng), (SIZE, SIZE), mode="bicubic", align_corners=True).clamp(0, 1)
    return linear_to_srgb((0.2 + 0.3 * wide) * (0.75 + 0.5 * rough))


@pytest.fixture(scope="module")
def light():
    """A smooth light of another colour from another side, a factor of linear light from 0.3 to 1.6."""
    x = torch.linspace(0, 1, SIZE)
    field = torch.stack([0.3 + 1.3 * x.expand(SIZE, -1), 0.4 + x[:, None] * x, 1.2 - 0.8 * x[:, None].expand(-1, SIZE)])
    return field[None]


def lit(texture, light):
    return linear_to_srgb((srgb_to_linear(texture) * light).clamp(0, 1))


def smooth(texture, size=16):
    return F.interpolate(F.adaptive_avg_pool2d(texture, size), texture.shape[-2:], mode="bicubic").clamp(0, 1)


def error(a, b, border=6):
    return float((a - b)[..., border:-border, border:-border].abs().mean())


SEEN = torch.ones(2, 1, SIZE, SIZE)


def test_a_smooth_light_on_the_studio_texture_is_taken_off_again(truth, light):
    phone = lit(truth, light)
    fused = fuse(phone, SEEN, truth)
    assert error(phone, truth) > 0.08 and error(fused, truth) < 0.01
    assert (fused - truth)[..., 6:-6, 6:-6].abs().amax() < 0.05


def test_a_capture_without_another_light_changes_nothing(truth):
    away = (..., slice(8, -8), slice(8, -8))  # its borders are no seam, as a head's are
    assert torch.allclose(fuse(truth, SEEN, truth, edges=False), truth, atol=2e-3)
    assert torch.allclose(fuse(truth, SEEN, truth)[away], truth[away], atol=1e-2)


def test_detail_finer_than_the_width_comes_from_the_phone_and_what_is_coarser_does_not(truth, light):
    studio = smooth(truth)
    fused = fuse(lit(truth, light), SEEN, studio)
    assert error(fused, truth) < 0.5 * error(studio, truth)
    fine = [(x - F.avg_pool2d(x, 5, 1, 2))[..., 6:-6, 6:-6].flatten() for x in (fused, truth)]
    assert torch.corrcoef(torch.stack(fine))[0, 1] > 0.97
    coarse = [F.adaptive_avg_pool2d(x, 8) for x in (fused, studio)]
    assert (coarse[0] - coarse[1]).abs().mean() < 0.02
    widths = [error(fuse(lit(truth, light), SEEN, studio, width), studio) for width in (0.25 * WIDTH, WIDTH, 4 * WIDTH)]
    assert widths[0] < widths[1] < widths[2], "a wider low pass lets more of the phone through"


def middle(depth, seed=0):
    """A field of a dozen texels, a factor of linear light."""
    noise = torch.randn(1, 1, 14, 14, generator=torch.Generator().manual_seed(seed))
    return torch.exp(depth * F.interpolate(noise, (SIZE, SIZE), mode="bicubic", align_corners=True))


def test_of_a_real_person_the_middle_band_is_the_phone_s_where_it_is_evenly_lit_and_only_there(truth):
    studio = lit(truth, middle(0.08))  # somebody else's face, a little
    plain, real = (fuse(truth, SEEN, studio, real=real) for real in (False, True))
    assert error(real, truth) < 0.5 * error(plain, truth)
    phone = lit(truth, middle(0.8, seed=1))
    plain, real = (fuse(phone, SEEN, truth, real=real) for real in (False, True))
    assert error(phone, truth) > 8 * error(real, plain) and error(real, truth) < error(phone, truth) / 4
    half = torch.cat([phone[..., : SIZE // 2], truth[..., SIZE // 2 :]], -1)  # one cheek in patches of light, the other not
    change = (fuse(half, SEEN, studio, real=True) - half).abs()[..., 12:-12, :]
    assert change[..., 8:40].mean() > 4 * change[..., -40:-8].mean()


def test_a_factor_on_the_whole_capture_hardly_passes(truth, light):
    studio, phone = smooth(truth), lit(truth, light)
    darker = lit(phone, 0.5)
    assert error(darker, phone) > 0.1 > 10 * error(fuse(darker, SEEN, studio), fuse(phone, SEEN, studio))


def test_where_nobody_looked_the_result_is_the_studio_texture_bit_for_bit(truth, light):
    studio, phone = smooth(truth), lit(truth, light)
    assert torch.equal(fuse(phone, torch.zeros_like(SEEN), studio), studio)
    seen = SEEN.clone()
    seen[..., 40:80, 30:90] = 0
    fused = fuse(phone, seen, studio)
    assert torch.equal(fused[..., 40:80, 30:90], studio[..., 40:80, 30:90])
    assert (fused - studio)[..., :30, :].abs().mean() > 0.02


def test_colours_of_texels_that_were_never_seen_reach_nobody(truth, light):
    studio, phone, seen = smooth(truth), lit(truth, light), SEEN.clone()
    seen[..., 40:80, 30:90] = 0
    seen[..., ::7, ::5] = 0
    results = [fuse(torch.where(seen > 0, phone, torch.full_like(phone, x)), seen, studio) for x in (0.0, 0.5, 1.0)]
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_highlights_on_lips_and_skin_are_cut_and_what_is_dark_or_in_an_eye_is_kept(truth):
    studio, places = smooth(truth), landmark_uv()
    spots = {"lips": places[[0, 17, 61, 291]].mean(0), "cheek": places[280], "eye": places[REGIONS["left_eye"]].mean(0)}
    texels = (texel_uv(SIZE) - torch.stack(list(spots.values()))[:, None, None]).square().sum(-1)
    drawn = torch.exp(-texels / (2 * 0.006**2))  # (3, SIZE, SIZE)
    for sign, kept in ((1.0, {"eye"}), (-1.0, set(spots))):
        phone = linear_to_srgb(srgb_to_linear(studio) * torch.exp(sign * drawn.sum(0)))
        stands = ((srgb_to_linear(fuse(phone, SEEN, studio)) + 0.02) / (srgb_to_linear(studio) + 0.02)).log().mean(1)[0]
        height = {
            name: sign * float(stands[spot > 0.5].mean() - stands[(spot > 0.001) & (spot < 0.01)].mean())
            for name, spot in zip(spots, drawn, strict=True)
        }
        assert all(value > 0.5 if name in kept else value < 0.4 for name, value in height.items()), (sign, height)
        if sign > 0:
            assert height["lips"] < height["cheek"]


def test_a_texel_seen_by_half_is_half_fused_and_lends_its_light_to_few(truth, light):
    studio, phone = smooth(truth), lit(truth, light)
    whole, half = fuse(phone, SEEN, studio), fuse(phone, 0.5 * SEEN, studio)
    assert torch.allclose(half, torch.lerp(studio, whole, 0.5), atol=1e-4)
    wrong = phone.clone()
    wrong[..., 60:64, :] = 1.0  # a grazing row that saw something else
    sure, unsure = SEEN.clone(), SEEN.clone()
    unsure[..., 60:64, :] = 0.2
    beside = (slice(None), slice(None), slice(56, 60))
    whole = fuse(phone, SEEN, studio, edges=False)  # the other low pass hardly listens to outliers, sure or unsure
    a, b = (fuse(wrong, seen, studio, edges=False)[beside] - whole[beside] for seen in (sure, unsure))
    assert b.abs().mean() < 0.25 * a.abs().mean()


def test_a_texture_s_fusion_does_not_depend_on_its_batch(truth, light):
    phone, studio, seen = lit(truth, light), smooth(truth), SEEN * torch.tensor([1.0, 0.7]).view(2, 1, 1, 1)
    together = fuse(phone, seen, studio)
    for k in range(2):
        alone = fuse(phone[k : k + 1], seen[k : k + 1], studio[k : k + 1])
        assert torch.allclose(together[k : k + 1], alone, atol=1e-6)


def test_black_and_white_stay_finite_and_in_range():
    black, white = torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)
    for phone, studio in ((black, white), (white, black), (black, black)):
        for seen in (0.0, 1e-3, 1.0):
            fused = fuse(phone, torch.full((1, 1, 32, 32), seen), studio)
            assert torch.isfinite(fused).all() and fused.min() >= -1e-6 and fused.max() <= 1 + 1e-6


def test_shapes_that_do_not_fit_are_refused(truth):
    for wrong in ((truth[:1], SEEN, truth), (truth, SEEN[..., :64], truth), (truth, truth, truth)):
        with pytest.raises(InputError, match="one batch and one size"):
            fuse(*wrong)


def test_large_textures_are_fused_in_strips_that_leave_no_seam(truth, light, monkeypatch):
    large = [F.interpolate(x, scale_factor=4, mode="bicubic").clamp(0, 1) for x in (lit(truth, light), smooth(truth))]
    seen = (torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.4).float()
    seen = F.interpolate(seen, size=4 * SIZE, mode="bilinear")
    whole, real = (fuse(large[0], seen, large[1], real=real) for real in (False, True))
    monkeypatch.setattr(fusion, "WHOLE", SIZE)
    assert (fuse(large[0], seen, large[1]) - whole).abs().max() < 1e-3
    assert (fuse(large[0], seen, large[1], real=True) - real).abs().max() < 1e-3 < (real - whole).abs().max()


def test_the_relief_of_the_light_has_its_slopes_and_neither_exposure_nor_white_balance(truth, light):
    phone, cast = lit(truth, light), torch.tensor([0.5, 0.7, 0.4]).view(1, 3, 1, 1)
    found = relief(phone, SEEN, truth)
    wanted = light.log() - light.log().mean((2, 3), keepdim=True)
    assert error(found, wanted) < 0.1 < float(wanted.abs().mean()), "the floor makes dark texels a little flatter"
    other = linear_to_srgb(srgb_to_linear(phone) * cast)
    assert error(relief(other, SEEN, truth), found) < 0.1 * error(other, phone) / float(phone.mean())
    half = SEEN.clone()
    half[..., : SIZE // 2] = 0
    assert relief(phone, half, truth)[..., : SIZE // 2].abs().max() == 0
    assert abs(float(relief(phone, half, truth)[..., SIZE // 2 :].mean())) < 1e-3


def shadowed(texture, depth=0.3):
    """With a hard shadow over its left half."""
    shadow = torch.ones(SIZE)
    shadow[: SIZE // 2] = depth
    return lit(texture, shadow.expand(1, 3, SIZE, -1))


@pytest.fixture(scope="module")
def skin():
    """Skin with shallow detail and brows that are darker by more than any shadow."""
    rng = torch.Generator().manual_seed(1)
    fine = 1 + 0.12 * torch.randn(1, 1, SIZE, SIZE, generator=rng).clamp(-2, 2).expand(-1, 3, -1, -1)
    brows = sum(region_mask(f"{side}_brow", SIZE) for side in ("left", "right"))
    return linear_to_srgb(0.35 * fine * (1 - 0.85 * brows)), brows[None] > 0.5


def test_the_edge_of_a_shadow_on_skin_is_taken_off_and_the_detail_beside_it_stays(skin):
    texture, _ = skin
    studio = smooth(texture, 32)
    plain, followed = (fuse(shadowed(texture), SEEN[:1], studio, edges=e) for e in (False, True))
    edge = (..., slice(90, 120), slice(SIZE // 2 - 8, SIZE // 2 + 8))
    assert (followed - texture)[edge].abs().mean() < 0.5 * (plain - texture)[edge].abs().mean()
    away = (..., slice(90, 120), slice(20, 50))
    contrast = [float((t - smooth(t, 32))[away].std()) for t in (followed, texture)]
    assert contrast[0] > 0.7 * contrast[1]


def test_brows_that_the_generator_does_not_know_stay_the_person_s(skin):
    texture, brows = skin
    studio = linear_to_srgb(torch.full_like(texture, 0.35))
    dark = [float(luminance(srgb_to_linear(t))[brows].mean()) for t in (texture, fuse(texture, SEEN[:1], studio))]
    assert dark[1] < 0.5 * 0.35 and dark[0] < dark[1]


def test_real_people_keep_their_nostrils_and_do_not_get_the_generator_s_nose():
    nostrils = torch.stack([region_mask(f"{side}_nostril", SIZE) for side in ("left", "right")]).amax(0)[None]
    dark = linear_to_srgb(0.35 * (1 - 0.85 * nostrils).expand(1, 3, -1, -1))
    flat = linear_to_srgb(torch.full_like(dark, 0.35))
    inside, level = nostrils.expand(1, 3, -1, -1) > 0.9, lambda texture, where: float(srgb_to_linear(texture)[where].mean())
    kept = {real: level(fuse(dark, SEEN[:1], flat, real=real), inside) for real in (False, True)}
    assert kept[True] < 0.5 * kept[False] and kept[True] < 2.5 * level(dark, inside)

    nose = region_mask("nose", SIZE)[None]
    sides = blur(nose, 1.5) * (1 - blur(nose, 1.5)) * 4  # dark along the border of everybody's nose
    drawn = linear_to_srgb(0.35 * (1 - 0.4 * sides).expand(1, 3, -1, -1))
    error = {real: (fuse(flat, SEEN[:1], drawn, real=real) - flat)[:, :, nose[0, 0] > 0.5].abs().mean() for real in (False, True)}
    assert error[True] < 0.5 * error[False]
    unseen = fuse(flat, 0 * SEEN[:1], drawn, real=True)
    inside = nose[0, 0] > 0.9
    assert (unseen - drawn)[:, :, inside].abs().max() > 0.02 > abs(float((unseen - drawn)[:, :, inside].mean()))
    beside = nose[0, 0] < 0.01
    beside = F.max_pool2d(1 - beside.float()[None], 7, 1, 3)[0] < 0.5
    assert torch.allclose(unseen[:, :, beside], drawn[:, :, beside], atol=1e-5)


def test_a_wide_low_pass_on_reduced_maps_is_that_of_the_full_ones():
    rng = torch.Generator().manual_seed(2)
    x = F.interpolate(torch.randn(1, 3, 9, 9, generator=rng), 64, mode="bicubic")
    weight, step = torch.ones(1, 1, 64, 64), (torch.arange(64) > 30).float().expand(1, 1, 64, -1)
    for sigma in (3.0, 6.0):
        found, wanted, plain = (
            t[..., 20:44, :] for t in (bilateral(x, weight, step - 0.5, sigma), exact(x, step, sigma), blur(x, sigma))
        )
        assert (found - wanted).abs().mean() < 0.15 * (plain - wanted).abs().mean(), "levels and reduced maps cost little"


def exact(x, guide, sigma):
    """The filter by its definition, texel by texel; horizontally the layout goes round."""
    n = x.shape[-1]
    at = torch.arange(n).float()
    across = (at[:, None] - at).abs()
    across = torch.minimum(across, n - across)
    rows = torch.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2)
    near = rows[:, None, :, None] * torch.exp(-0.5 * (across / sigma) ** 2)[None, :, None, :]
    alike = torch.exp(-0.5 * ((guide[0, 0][:, :, None, None] - guide[0, 0]) / STEP) ** 2)
    share = near * alike
    return torch.einsum("hwij,cij->chw", share, x[0])[None] / share.sum((2, 3))


def test_along_the_sharp_edge_of_a_shadow_the_outline_is_fainter(monkeypatch):
    rng, size = torch.Generator().manual_seed(0), 512
    albedo = 0.3 + 0.02 * torch.randn(1, 3, size, size, generator=rng)  # flat skin with grain
    shade = torch.sigmoid((torch.arange(float(size)) - 256.3) * 2.5).mul(0.8).add(0.2).view(1, 1, 1, size)
    truth, phone = linear_to_srgb(albedo), linear_to_srgb(albedo * shade)
    seen, studio = torch.ones(1, 1, size, size), linear_to_srgb(torch.full_like(albedo, 0.3))

    def outline():  # the mean over rows of a cheek: grain averages out, an outline does not
        error = fuse(phone, seen, studio) - truth
        return (error - blur(error, 6))[..., 320:400, 236:276].mean(2).abs().max().item()

    mended = outline()
    monkeypatch.setattr(fusion, "EDGE", 1e9)
    assert mended < 0.9 * outline()


def test_lips_keep_their_own_red_though_the_generators_are_pale():
    lips = region_mask("lips", SIZE)[None]
    skin, red, pale = (
        torch.tensor(colour).view(1, 3, 1, 1) for colour in ((0.7, 0.55, 0.5), (0.75, 0.2, 0.2), (0.65, 0.5, 0.46))
    )
    phone, studio = (torch.lerp(skin.expand(1, 3, SIZE, SIZE), colour, blur(lips, 0.7)) for colour in (red, pale))
    fused = fuse(phone, SEEN[:1], studio)
    inside = (lips > 0.99)[0, 0]
    red = [(srgb_to_linear(x[0, 0]) / srgb_to_linear(x[0, 1])).log()[inside].mean() for x in (phone, fused, studio)]
    assert red[1] > red[2] + 0.35 * (red[0] - red[2])


def test_a_white_highlight_on_red_lips_leaves_red_and_no_grey():
    lips = region_mask("lips", SIZE)[None]
    skin, red = (torch.tensor(colour).view(1, 3, 1, 1) for colour in ((0.7, 0.55, 0.5), (0.75, 0.2, 0.2)))
    studio = torch.lerp(skin.expand(1, 3, SIZE, SIZE), red, blur(lips, 0.7))
    rows = lips[0, 0, :, SIZE // 2].nonzero()[:, 0]
    phone = studio.clone()
    spot = (..., slice(int(rows[-3]), int(rows[-3]) + 2), slice(SIZE // 2 - 3, SIZE // 2 + 3))
    phone[spot] = 0.95
    fused = fuse(phone, SEEN[:1], studio)[spot]
    assert (fused[:, 1] / fused[:, 0]).mean() < 0.5 * (phone[spot][:, 1] / phone[spot][:, 0]).mean()
