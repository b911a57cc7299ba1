"""The rivals' page: its words follow from the records, and what no fresh record says is not said."""

import re
from dataclasses import replace

import numpy as np
import pytest
import yaml

import build
import rivals
from project import ROOT
from rivals import CALLED, Contest, longer, rivals_page, summary, tones, words
from rivals_sheet import LARGEST, TITLES, methods, people
from studiolike.config import profile
from studiolike.evaluation import higher_is_better
from studiolike.experiments import Entry
from studiolike.experiments.core import experiment
from studiolike.experiments.records import empty
from studiolike.experiments.rivals import DECISIVE, row_of
from studiolike.protocols import PROTOCOLS

PEOPLE = 14
LEARNT = ("unet", "unet_gain", "cut", "diffusion", "unet_long")  # all that have to be trained with several seeds
SCALARS = {"tone_gap": 1.1, "kid": 0.01, "convert_seconds": 0.01, "train_seconds": 60.0, "train_gib": 1.0, "parameters": 1e6}


def level(name, measure, better):
    """Values of a method: good ones where ``better`` names it, else middling ones."""
    good = (name, measure) in better or (name, "all") in better
    noise = np.random.default_rng(sum(map(ord, name + measure))).normal(0, 0.01, PEOPLE)
    return (0.5 + (0.2 if good == higher_is_better(measure) else 0) + noise).tolist()


@pytest.fixture
def write(tmp_path):
    """Write records of some methods under `few`; returns their folder."""

    def written(better, stale=(), trained=LEARNT, seeds=3, once=()):
        settings = profile("cpu")
        names = {"rivals-chain": ["chain"], "rivals": [*trained, *once], "rivals-closed": ["nothing", "quotient"]}
        for kind, chosen in names.items():
            made = experiment(kind)
            result = empty(made, settings)
            result.subject = list(range(PEOPLE))
            for name in chosen:
                row = row_of(name, "few")
                for seed in range(1 if kind != "rivals" or name in once else seeds):
                    digest = "old" if name in stale else made.digest(row, seed, settings)
                    values = {m: level(name, m, better) for m in CALLED}
                    result.entries.append(Entry(row, seed, digest, values, SCALARS, 1.0, 1.0, 1.0, "cpu", "c", "p", "t", "now"))
            result.write(tmp_path)
        return tmp_path

    return written


def test_a_chain_that_nobody_beats_is_what_to_take(write):
    contest = Contest.read("few", write({("chain", "all")}))
    assert contest.losses == {} and contest.leader("low_band") == "chain"
    text = "\n".join(summary(contest))
    assert "learnt for 60 to 60 s of processor time, our stage 3 for 60 s" in text
    assert "take the chain" in text and "worse than" not in text and "better than doing nothing, quotient, paired U-Net" in text
    assert "nor does paired U-Net, 20 times as long" in text and "first look" not in text


def test_who_beats_the_chain_is_named_where_it_does(write):
    contest = Contest.read("few", write({("unet", "low_band"), ("chain", "faceid_cosine")}))
    assert contest.losses == {"low_band": ["paired U-Net"]}
    text = "\n".join(summary(contest))
    assert "Our chain is beaten in low-band error by paired U-Net." in text and "take the chain" not in text
    assert "identity cosine: our chain has the best mean" in text


def test_a_rival_that_wins_everything_is_recommended_instead(write):
    text = "\n".join(summary(Contest.read("few", write({("cut", "all")}))))
    assert "In all three our chain is beaten by unpaired translator (CUT)" in text and "take the chain" not in text


def test_a_trained_rival_that_is_farther_from_the_truth_than_its_input_is_said_to_have_learnt_too_little(write):
    contest = Contest.read("few", write({("nothing", "all"), ("chain", "all")}, trained=("cut",)))
    assert contest.unlearnt == ["unpaired translator (CUT)"]
    assert "In this time unpaired translator (CUT) did not learn the task" in "\n".join(summary(contest))
    contest = Contest.read("few", write({("cut", "all")}, trained=("cut",)))
    assert contest.unlearnt == [] and "did not learn the task" not in "\n".join(summary(contest))


def test_what_rests_on_one_seed_has_figures_and_no_word(write):
    folder = write({("unet_long", "all"), ("cut_long", "low_band")}, trained=LEARNT[:-1], once=("unet_long", "cut_long"))
    contest = Contest.read("few", folder)
    assert contest.looks == ["cut_long", "unet_long"] or contest.looks == ["unet_long", "cut_long"]
    assert not any(rival in contest.looks for rival, _ in contest.judged) and contest.leader("low_band") not in contest.looks
    text = "\n".join(summary(contest))
    assert "in the mean paired U-Net, 20 times as long (1 seed) is better than our chain in low-band error, perceptual" in text
    assert "in the mean unpaired translator (CUT), 10 times as long (1 seed) is better than our chain in low-band error" in text
    assert "take the chain" in text and "trained as briefly as here" in text  # a first look turns no word
    line = next(line for line in words(contest, ["low_band"]) if "U-Net, 20 times" in line)
    assert re.fullmatch(r"\| paired U-Net, 20 times as long \(1 seed\) \| \(\+[\d.]+\) \|", line)
    told = "\n".join(longer(folder))
    assert "20 times as long (1 seed), against its brief run: low-band error −" in told and "better (" not in told


@pytest.mark.parametrize("gone", ["stale", "missing"])
def test_without_all_that_was_to_be_trained_nobody_is_said_to_be_unbeaten(write, gone):
    lacking = {"stale": ("cut",)} if gone == "stale" else {"trained": tuple(name for name in LEARNT if name != "cut")}
    contest = Contest.read("few", write({("chain", "all")}, **lacking))
    text = "\n".join(summary(contest))
    assert "take the chain" not in text and "are missing (unpaired translator (CUT))" in text
    beaten = Contest.read("few", write({("unet", "low_band")}, **lacking))
    assert "Our chain is beaten in low-band error by paired U-Net." in "\n".join(summary(beaten))


def test_the_aim_for_skin_tones_has_its_word_from_an_interval(write):
    contest = Contest.read("few", write({("chain", "all")}))
    assert "this is met by doing nothing, quotient" in tones(contest)
    wide = np.where(np.arange(PEOPLE) % 2, 0.2, 1.0)  # so uneven among people that nobody can tell
    turned = [replace(e, values=e.values | {"colour": wide.tolist()}) for e in contest.records["chain"].entries]
    unsure = Contest("few", contest.records | {"chain": replace(contest.records["chain"], entries=turned)})
    assert "not to be told of our chain" in tones(unsure)


def test_equals_cannot_be_told_apart(write):
    contest = Contest.read("few", write(set()))
    assert {v.word for v in contest.judged.values()} == {"cannot tell"}


def test_a_stale_rival_is_missing_and_a_stale_chain_is_judged_by_nobody(write):
    contest = Contest.read("few", write({("unet", "all")}, stale=("unet",)))
    assert "paired U-Net" in contest.missing and "unet" not in contest.rivals
    folder = write({("chain", "all")}, stale=("chain",))
    contest = Contest.read("few", folder)
    assert contest.judged == {} and "has not been measured" in summary(contest)[0]
    assert "take the chain" not in rivals_page(folder)


def test_one_seed_that_says_the_opposite_forbids_the_word(write):
    contest = Contest.read("few", write({("chain", "all")}))
    name = row_of("unet", "few")
    turned = [
        replace(e, values={m: level("unet", m, {("unet", "all")}) for m in CALLED}) if (e.row, e.seed) == (name, 1) else e
        for e in contest.records["unet"].entries
    ]
    twisted = Contest("few", contest.records | {"unet": replace(contest.records["unet"], entries=turned)})
    assert contest.judged["unet", "low_band"].word == "better" and twisted.judged["unet", "low_band"].word == "cannot tell"


def test_the_page_shows_every_measured_method_with_its_cost_and_its_tone_gap(write):
    page = rivals_page(write({("chain", "all")}), pictures=ROOT / "nowhere")
    few = page[page.index("## Protocol `few`") : page.index("## Protocol `open`")]
    for name in ("doing nothing", "quotient", "paired U-Net", "unpaired translator (CUT)", "our chain"):
        assert f"| {name} |" in few
    assert (
        "| 1.0e-02 |" in few and "| 1.10 |" in few and "| paired U-Net | `few` | 60 s | 1.0 GB | 1.00 million | 10 ms |" in page
    )
    assert "not met by" not in few and "paired diffusion, 10 times as long" in few.split("Not measured")[1].split("\n")[0]
    assert "{figure}" not in page


def test_two_chapters_say_how_our_chain_stands_among_its_rivals(write):
    folder = write({("unet", "low_band"), ("chain", "faceid_cosine")}, trained=LEARNT[:-1], once=("unet_long",))
    told = rivals.note("ch06-avatar", folder)
    assert "[its rivals on the same data](../rivals.md)" in told and "Under `open`" not in told
    assert "records (doing nothing, " in told and "20 times" not in told  # the page has first looks
    assert "of 6 rivals, 4 of them trained: in low-band error not to be told from 5, worse than 1; " in told
    assert told.endswith("in identity cosine better than all.")
    assert rivals.note("ch04-adaptation", folder) == told and rivals.note("ch05-detailing", folder) == ""


def test_without_any_fresh_record_there_is_no_page_and_no_entry(tmp_path, write):
    assert rivals_page(tmp_path) == ""
    assert rivals_page(write({("chain", "all")}, stale=("chain", *LEARNT, "nothing", "quotient"))) == ""
    for present in (set(), {rivals.PAGE}):
        build.write_toc(tmp_path, present)
        listed = yaml.safe_load((tmp_path / "_toc.yml").read_text())["parts"]
        assert any(entry["file"] == rivals.PAGE for part in listed for entry in part["chapters"]) == bool(present)


def test_people_are_chosen_by_tone_and_by_the_chain_s_best_and_worst(write):
    contest = Contest.read("few", write({("unet", "all")}))
    tones = np.arange(PEOPLE)[::-1]
    chosen = people(contest, tones)
    ours = contest.values("chain", "perceptual/face").mean(0)
    assert chosen["tone 1"] == PEOPLE - 1 and chosen["tone 6"] == 0
    assert chosen["our\nbest"] == ours.argmin() and chosen["our\nworst"] == ours.argmax()
    assert list(chosen)[-1] == "U-Net\ngains\nmost"


def test_the_sheet_shows_each_rival_after_its_longest_training(write):
    brief = Contest.read("few", write(set(), trained=LEARNT[:-1]))
    assert {"unet", "unet_gain", "cut", "diffusion"} <= set(methods(brief)) and "nothing" not in methods(brief)
    long = Contest.read("few", write(set(), trained=LEARNT, once=("cut_long",)))
    assert {"unet_long", "unet_gain", "cut_long", "diffusion"} == set(methods(long)) & {*LEARNT, "cut_long", "diffusion_long"}
    assert {f"{name}\nlong" for name in ("CUT,", "U-Net,", "diffusion,")} <= set(TITLES.values())


def test_the_pictures_of_both_protocols_are_there_and_small():
    for protocol in PROTOCOLS:
        path = ROOT / "book" / "_static" / rivals.picture_name(protocol)
        assert 50_000 < path.stat().st_size <= LARGEST, path.name


def test_the_decisive_measures_are_on_the_page_under_their_names():
    assert set(DECISIVE) < set(CALLED) and rivals.PAGE == "rivals"


def test_the_page_cites_what_the_bibliography_holds():
    from pybtex.database import parse_file

    known = set(parse_file(str(ROOT / "book" / "references.bib")).entries)
    cited = {key for line in rivals.SENTENCES for keys in re.findall(r"{cite}`([^`]+)`", line) for key in keys.split(",")}
    assert len(cited) >= 8 and cited <= known
