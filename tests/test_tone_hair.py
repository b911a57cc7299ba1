"""Hair has the colour and the place that the capture shows, and where none was seen nothing changes."""

import pytest
import torch

from studiolike.image import blur
from studiolike.layout import face_mask, region_mask
from studiolike.tone.hair import hair_likelihood, hair_mask, natural, top_mask, with_hair

N = 64
SKIN = torch.tensor([0.75, 0.58, 0.5]).view(1, 3, 1, 1)
BLACK = torch.tensor([0.12, 0.10, 0.09]).view(1, 3, 1, 1)
FAIR = torch.tensor([0.50, 0.40, 0.22]).view(1, 3, 1, 1)


def head(hair: torch.Tensor, line: float = 1.0) -> torch.Tensor:
    """A texture with hair on the crown down to a share of it."""
    crown = region_mask("crown", N)[None] * (1 - face_mask(N)[None])
    rows = (torch.arange(N).view(1, 1, N, 1) < line * 24).float()
    return blur(torch.lerp(SKIN, hair, crown * rows), 1.0).clamp(0, 1)


@pytest.fixture
def seen():
    """A head seen from the front."""
    columns = (torch.arange(N).view(1, 1, 1, N) - 31.5).abs() < 18
    return (columns * (1 - region_mask("neck", N)[None])).float()


def crown() -> torch.Tensor:
    return (region_mask("crown", N)[None] * (1 - face_mask(N)[None])) > 0.99


def test_where_no_hair_was_seen_nothing_changes():
    studio, texture = head(BLACK), head(SKIN)
    outside = (face_mask(N)[None] == 0).expand_as(studio)
    assert torch.allclose(with_hair(studio, texture, (face_mask(N)[None] > 0.9).float())[outside], studio[outside], atol=0.01)
    assert torch.allclose(with_hair(studio, texture, torch.zeros(1, 1, N, N)), studio, atol=2e-3)


@pytest.mark.parametrize("light", [0.7, 1.0, 1.3])
def test_hair_that_is_right_stays_under_any_even_light(seen, light):
    studio = head(BLACK)
    assert (with_hair(studio, (studio * light).clamp(0, 1), seen) - studio).abs().max() < 0.03


@pytest.mark.parametrize(("painted", "shown"), [(SKIN, BLACK), (BLACK, SKIN)])
def test_where_one_shows_hair_and_the_other_skin_the_capture_is_right(seen, painted, shown):
    studio, texture = head(painted), head(shown)
    out = with_hair(studio, texture, seen)
    well = crown() & (blur(seen, 2.0) > 0.99)
    after, before = ((x - texture).abs().mean(1, keepdim=True)[well].mean() for x in (out, studio))
    assert after < 0.35 * before
    face = (region_mask("skin_face", N)[None] > 0.99) & ~(hair_mask(N) > 0.01)
    assert (out - studio).abs().mean(1, keepdim=True)[face].max() < 0.04


def test_lit_hair_is_no_skin_and_a_bright_scalp_is_no_lighter_than_the_face(seen):
    studio, well = head(BLACK), crown() & (blur(seen, 2.0) > 0.99)
    strands = (torch.arange(N) % 2).float().view(1, 1, 1, N)
    lit = torch.where(crown(), torch.lerp(BLACK, torch.tensor(0.95), strands), studio)  # bright as skin, and dark between
    before, after = ((x - studio).abs().mean(1, keepdim=True)[well].mean() for x in (lit, with_hair(studio, lit, seen)))
    assert before > 0.3 and after < 0.6 * before
    shiny = torch.where(crown(), 1.3 * SKIN, head(SKIN))
    out = with_hair(head(BLACK), shiny, seen)
    assert out.mean(1, keepdim=True)[well].max() < SKIN.mean() + 0.05


def test_hair_is_never_blue(seen):
    blue = torch.tensor([0.10, 0.12, 0.25]).view(1, 3, 1, 1)
    well = crown() & (blur(seen, 2.0) > 0.99)
    red, green, found = with_hair(head(SKIN), head(blue), seen).split(1, 1)
    assert (found - (red + green) / 2)[well].mean() < 0.02
    assert torch.equal(natural(torch.zeros(1, 3, 2, 2)), torch.zeros(1, 3, 2, 2))


def test_a_head_with_hair_wherever_it_was_seen_is_not_bald_on_the_other_side(seen):
    top = (top_mask(N) > 0.99) & (seen == 0)
    out = with_hair(head(SKIN), head(BLACK), seen)
    assert (out - BLACK).abs().mean(1, keepdim=True)[top].mean() < 0.1
    little = with_hair(head(SKIN), head(BLACK, line=0.1), seen)
    assert (little - BLACK).abs().mean(1, keepdim=True)[top].mean() > 0.2


def test_the_other_side_of_a_head_says_where_hair_ends(seen):
    half = seen * (torch.arange(N) < N // 2)
    unseen = (top_mask(N) > 0.99) & (blur(half, 1.0).flip(-1) > 0.9) & (half == 0)
    for line in (1.0, 0.3):  # hair down to the brows, and a bald head but for its top
        apart = (with_hair(head(SKIN), head(BLACK, line), half) - BLACK).abs().mean(1, keepdim=True)
        assert apart[:, :, :8][unseen[:, :, :8]].mean() < 0.1
        assert (apart[:, :, 10][unseen[:, :, 10]].mean() > 0.3) == (line < 1)


def test_hair_that_nobody_saw_has_the_colour_of_what_was_seen(seen):
    studio, texture = head(BLACK), head(FAIR)
    out = with_hair(studio, texture, seen)
    behind = crown() & (seen == 0)
    before, after = (((x - FAIR).abs().mean(1, keepdim=True))[behind].mean() for x in (studio, out))
    assert after < 0.5 * before
    unlike = with_hair(studio, (studio * 1.15).clamp(0, 1), seen)  # light, not colour
    assert (unlike - studio).abs()[behind.expand_as(studio)].max() < 0.03


def test_grey_is_hair_where_skin_has_colour():
    skin = torch.tensor([-0.4, -1.0, -1.6]).view(1, 3, 1, 1)
    grey = torch.full((1, 3, 1, 1), -1.0)  # as light as skin
    assert hair_likelihood(grey, skin) < 0.1 < 0.9 < hair_likelihood(grey, skin, grey=True)
    assert hair_likelihood(skin, skin, grey=True) < 0.2


def test_darker_than_skin_is_hair():
    skin = torch.full((1, 3, 1, 1), -1.0)
    likely = hair_likelihood(torch.tensor([-1.0, -1.5, -2.5]).view(1, 1, 1, 3).expand(1, 3, 1, 3), skin).flatten()
    assert likely[0] < 0.1 and likely[1] == pytest.approx(0.5) and likely[2] > 0.99
