"""The tools that make the first page's pictures and the page of failures: verdicts and causes are computed, and add up."""

import numpy as np
import pytest
import torch

import before_after
import worst_of_100
from project import ROOT
from studiolike.chapters import interactive
from studiolike.synth import dataset


@pytest.mark.parametrize(
    "chain, said", [(22.1, "fails"), (22.3, "hardly nearer"), (25.3, "nearer"), (32.3, "far nearer"), (22.2, "fails")]
)
def test_the_title_of_a_row_follows_from_how_much_nearer_its_result_is_than_both_rivals(chain, said):
    shares = {"colour": 0.2, "broad": 0.5, "fine": 0.3}
    told = before_after.title("a", {"phone": 20.0, "quotient": 22.2, "chain": chain}, shares)
    assert told == f"a\n{said},\nlight is off"
    assert before_after.title("a photograph", None) == "a photograph\nno truth"


def test_the_first_page_tells_the_limits_and_the_words_of_the_titles():
    page = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    (far, most), _, (_, least) = before_after.MARGINS
    hardly = before_after.MARGINS[1][0]
    assert f"*{most.split()[0]}* is more than {far} dB" in page and f"*{least.split()[0]}* at most {hardly} dB" in page
    assert all(f"*{said.split()[0]}*" in page for said in before_after.LEFT.values())


def test_the_title_of_a_row_names_the_largest_part_of_the_error():
    truth, seen, _ = pictures()
    row = before_after.Row("a", truth[0], seen[0], truth[0], None)
    shares = before_after.shares_of(row, (truth[0] * 0.8).clamp(0, 1))
    assert before_after.title("a", {"phone": 0.0, "quotient": 0.0, "chain": 1.0}, shares).endswith("tone is off")
    assert set(shares) == set(before_after.LEFT)
    row.truth = None
    assert before_after.shares_of(row, truth[0]) is None


def test_the_pair_on_the_first_page_names_its_files_and_holds_no_data():
    pair = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    page = before_after.lead_page(*pair, ("a.jpg", "b.jpg"))
    assert page.count("_static/a.jpg") == page.count("_static/b.jpg") == 1 and "data:" not in page
    assert page.count("alt=") == 2 and 'type="range"' in page and "onpointermove" in page


def test_the_line_of_a_pair_follows_mouse_and_touch_by_way_of_its_slider():
    html = interactive.before_after(torch.zeros(3, 8, 8), torch.ones(3, 8, 8), "two greys").html
    assert "setPointerCapture" in html and "dispatchEvent(new Event(" in html and "touch-action:pan-y" in html


def pictures(seed=0):
    rng = torch.Generator().manual_seed(seed)
    truth = torch.nn.functional.interpolate(torch.rand(3, 3, 8, 8, generator=rng), (64, 64), mode="bicubic").clamp(0.2, 0.8)
    return truth, torch.ones(3, 1, 64, 64), rng


def test_the_parts_of_an_error_add_up_and_each_kind_is_found_where_it_was_put():
    truth, seen, rng = pictures()
    steps = torch.linspace(0.7, 1.3, 64).expand(64, 64)
    noise = 1 + 0.2 * torch.randn(64, 64, generator=rng)
    for name, change in {"colour": torch.tensor(0.8), "broad": steps, "fine": noise}.items():
        shares = worst_of_100.error_shares((truth * change).clamp(0, 1), truth, seen)
        assert torch.allclose(sum(shares.values()), torch.ones(3), atol=1e-4)
        assert all(float(share.min()) >= 0 for share in shares.values())
        assert max(shares, key=lambda key: float(shares[key].mean())) == name


def test_the_hundred_are_nobodys_people():
    ours = set(worst_of_100.seeds_of().tolist())
    others = [stretch * dataset.SPLIT_SEEDS for stretch in (*dataset.STRETCH.values(), 4)]
    assert len(ours) == worst_of_100.PEOPLE
    assert not any(start <= seed < start + dataset.SPLIT_SEEDS for seed in ours for start in others)


@pytest.fixture
def shots():
    n, rng = worst_of_100.PEOPLE, np.random.default_rng(0)
    maps = rng.integers(0, 255, (n, 1, 8, 8), dtype=np.uint8)
    colours = rng.integers(0, 255, (n, 3, 8, 8), dtype=np.uint8)
    line = np.linspace(0, 1, n, dtype=np.float32)
    return worst_of_100.Captures(colours, maps, colours, line, line > 0.5, line, line > 0.9)


def test_the_page_of_failures_counts_what_it_says(shots):
    n = worst_of_100.PEOPLE
    chain = torch.linspace(10, 30, n)
    found = {"chain": chain, "chain, gain fit": chain + 1, "quotient": torch.full((n,), 11.0), "phone": torch.full((n,), 15.0)}
    found |= {
        "brightness": torch.full((n,), 0.7),
        "colour": torch.full((n,), 0.6),
        "broad": torch.full((n,), 0.3),
        "fine": torch.full((n,), 0.1),
    }
    text = worst_of_100.text(shots, found, list(range(10)))
    assert f"better than the phone texture for {int((chain > 15).sum())} of the hundred" in " ".join(text.split())
    assert "colour or brightness of the whole face in 10 of the 10" in text
    assert text.count("30 % too dark") == 10
    assert f"In {int((chain[:10] < 11).sum())} of them the quotient" in text
    assert text.count("\n| ") == 12
    special = worst_of_100.circumstances(shots, n - 1)
    assert "a single picture" in special and "glasses" in special and "darkest tenth" in special
    assert "several views" in worst_of_100.circumstances(shots, 0)
