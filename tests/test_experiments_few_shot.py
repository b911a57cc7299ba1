"""Chapter 4's laboratory: what freezing touches, and short runs under the protocol of few studio textures."""

import numpy as np
import pytest
import torch
from fakes import FakeSet

from studiolike import config
from studiolike.adaptation import CodeSampler
from studiolike.chapters import adaptation as drawn
from studiolike.chapters import adaptation_verdicts as said
from studiolike.chapters import figures
from studiolike.evaluation import Estimate
from studiolike.evaluation.verdict import BETTER, CANNOT_TELL, WORSE, Verdict
from studiolike.experiments import record
from studiolike.experiments.few_shot import OURS, PAPER, FewShotLaboratory, two_readings
from studiolike.stylegan2 import Generator


@pytest.fixture(scope="module")
def lab():
    return FewShotLaboratory(config.profile("smoke"), FakeSet(resolution=128))


def test_rows_leak_into_the_last_frozen_block_and_modules_do_not():
    torch.manual_seed(0)
    generator = Generator(resolution=32, w_dim=16, mapping_layers=1, channel_base=128, channel_max=16).eval()
    one, other = torch.randn(2, 1, generator.num_ws, 16)
    blocks = {block.size: block for block in two_readings(generator, one, other)}
    assert blocks[8].by_module == (0, 0) and blocks[8].by_row[0] == 0 < blocks[8].by_row[1]
    assert blocks[8].shared == blocks[16].rows[0] and [b.trained for b in blocks.values()] == [False, False, True, True]
    assert min(blocks[16].by_module) > 0 and min(blocks[16].by_row) > 0


def test_an_untouched_copy_of_g_phone_is_at_rest_in_the_two_terms_that_compare_with_it(lab, shown):
    stage = lab.stage()
    terms = lab.first_terms(stage)
    assert terms["percp"] < 1e-4 and terms["face_id"] < 1e-4 and set(terms) == {*PAPER, *OURS} == set(drawn.WEIGHTS)
    told = drawn.objective(lab, stage, terms)
    assert told["ours_first"] == pytest.approx(sum(terms[name] for name in OURS))
    assert told["ours_word"] == ("outweigh" if told["ours_first"] > told["paper_first"] else "weigh no more than")


def test_every_term_and_symbol_has_its_value_of_the_settings(lab, shown):
    stage = lab.stage()
    drawn.objective(lab, stage, dict.fromkeys(drawn.WEIGHTS, 0.5))
    weights, symbols = ({line[0]: line for line in table[1:]} for table in shown)
    assert weights["λ1 · L_percp"][1:] == [f"{stage.config.perceptual:g}", "0.500"]
    assert symbols["P"][2] == len(lab.pairs) and symbols["γ"][2].startswith(f"{stage.gamma:.2g}")
    share = sum(p.numel() for p in stage.trained) / sum(p.numel() for p in lab.g_phone.parameters())
    assert symbols["θ(8+)"][2] == f"{share:.0%} of G_phone" and 0 < share < 1


def test_the_laboratory_reads_no_other_studio_texture(lab):
    few = [lab.data.subjects(split) for split in ("studio", "pairs")]
    assert len(lab.studio) == sum(map(len, few))
    assert set(lab.pairs.captures.people.tolist()) == set(torch.cat(few).tolist())


def test_each_run_leaves_out_what_its_name_says(lab):
    runs = {name: lab.stage(**changes).config for name, changes in (lab.switched_off() | {"careless": lab.careless()}).items()}
    assert runs["no L_adv"].adversarial == 0 < runs["all terms"].adversarial
    assert runs["no L_faceID, L_percp"].identity == runs["no L_faceID, L_percp"].perceptual == 0
    assert runs["L_faceID × 50"].identity == 50 * runs["all terms"].identity
    assert runs["careless"].adversarial > 0 == max(getattr(runs["careless"], name) for name in ("recons", "invariance"))
    assert len(lab.stage(**lab.careless()).studio) <= 4


def test_a_short_run_moves_the_generator_and_can_be_drawn_and_measured(lab, shown):
    rows = lab.data.captures("val")[:3]
    codes = lab.codes_of(*lab.data.phone_batch(rows))
    trained, log = lab.train(16)
    start, after = (lab.translate(network, codes) for network in (lab.g_phone, trained))
    assert (after - start).abs().max() > 0
    figures.show(drawn.run_figure(log), "one run")
    figures.show(drawn.opinions_figure({"ours": log}, 16), "opinions")
    assert np.isfinite(drawn.gap(log))
    results = {"G_phone(w)": start, "all terms": after, "L_faceID × 50": start + 2 * (after - start)}
    table, truth = lab.measure(rows, results, regions=("face",)), lab.data.studio_batch(lab.data.subject[rows])
    told = drawn.effects(table, results, truth)
    assert told["strong_moved"] == pytest.approx(2, rel=1e-3) and "left-over light" in told["strong_light"]
    drawn.cases(table, "all terms", results | {"truth": truth})
    assert len(shown) == 5


def test_the_best_the_median_and_the_worst_are_shown_by_rule(lab, shown, monkeypatch):
    rows = lab.data.captures("val")[:5]
    truth = lab.data.studio_batch(lab.data.subject[rows])
    spoilt = truth + torch.tensor([0.0, 0.3, 0.1, 0.4, 0.2]).view(5, 1, 1, 1) * (0.5 - truth).sign()
    grids = []
    monkeypatch.setattr(figures, "texture_grid", lambda *given, **_: grids.append(given))
    monkeypatch.setattr(figures, "show", lambda *_: None)
    drawn.cases(lab.measure(rows, {"spoilt": spoilt}, regions=("face",)), "spoilt", {"spoilt": spoilt})
    ((pictures, names, _),) = grids
    assert [name.split("\n")[0] for name in names] == ["best", "median", "worst", "worst 2", "worst 3"]
    for (picture,), place in zip(pictures, [0, 4, 3, 1, 4], strict=True):
        assert torch.equal(picture, spoilt[place])


def test_codes_of_captures_differ_between_layers_and_codes_of_w_do_not(lab, shown):
    codes = lab.codes_of(*lab.data.phone_batch(lab.data.captures("val")[:2]))
    found = lab.sources(codes, draws=8)
    assert found["z"].layers < 1e-5 < found["captures"].layers
    told = drawn.sources(lab, found)
    assert told["codes_closest"] in drawn.SOURCES.values() and told["codes_ratio"] > 0


def test_a_mixture_stands_under_the_code_that_it_has_as_one_part(lab):
    """What the figure's caption says."""
    bank, mixed = (CodeSampler(name, lab.g_phone, lab.bank) for name in ("bank", "bank_mixture"))
    alone, parts = (sampler(32, torch.Generator().manual_seed(0)).cpu() for sampler in (bank, mixed))
    by_place = torch.cdist(parts.flatten(1), alone.flatten(1))
    assert (by_place.argmin(1) == torch.arange(32)).float().mean() > 0.7
    assert 0.25 < ((parts - alone).abs().amax((1, 2)) > 1e-4).float().mean() < 0.85


def test_the_ledger_is_quoted_or_said_to_be_empty(tmp_path, monkeypatch):
    from IPython import display

    import studiolike.experiments
    from studiolike.experiments import experiments

    texts = []
    monkeypatch.setattr(display, "display", lambda piece: texts.append(piece.data))
    monkeypatch.setattr(studiolike.experiments, "records_dir", lambda: tmp_path)
    for name in ("layers", "codes", "losses", "terms"):
        assert name in experiments()
        drawn.ledger(name)
    assert all("no record" in text for text in texts) and len(texts) == 4


def test_the_page_says_of_the_whole_network_what_the_ledger_says():
    from studiolike.evaluation.verdict import FAILS, HOLDS, UNSURE
    from studiolike.experiments.claims import Claim, judge

    words = {HOLDS: "is further from", FAILS: "is nearer to", UNSURE: "cannot be told to be nearer to or further from"}
    told = said.layers_words()
    for name, measure in {"whole_kept": "faceid_kept", "whole_truth": "faceid_mse"}.items():
        assert measure in drawn.LEDGER
        condition = {"row": "whole network", "in": measure, "worse_than": "after 8²"}
        claim = {"id": "c", "claim": "C.", "mark": "I", "where": "here", "chapters": ["ch04"], "experiment": "layers"}
        assert told[name] == words[judge(Claim.of(claim | {"conditions": [condition]})).findings[0].outcome]


def verdict(word):
    return Verdict(word, Estimate(1.0, 0.0, 2.0, 9, 9), 0.01, 4)


def test_verdicts_against_several_rivals_are_one_end_of_a_sentence():
    told = {"A": verdict(BETTER), "B": verdict(CANNOT_TELL), "C": verdict(BETTER), "D": verdict(WORSE)}
    assert said.against(told) == "is better than A and C, is worse than D, and cannot be told from B"
    assert said.against({"A": verdict(CANNOT_TELL), "B": verdict(CANNOT_TELL)}) == "cannot be told from A and B"


def test_what_is_missed_without_each_of_our_terms_is_counted_in_the_ledger(monkeypatch):
    """A row that leaves out one term more, or one of the authors', is not of the four."""
    kept = record("terms")
    asked = []

    def judge(experiment, row, rival, measure):
        asked.append(row)
        return verdict(WORSE if "light-invariance" in row or "alone" in row or measure == "low_band" else BETTER)

    monkeypatch.setattr(said, "judged", judge)
    told = said.terms_words()
    assert len(set(asked)) == 5 and set(asked) < set(kept.rows)
    assert (told["missed_low"], told["spared_low"], told["missed_var"], told["spared_var"]) == (4, 0, 1, 3)
    assert told["alone_low"] == told["alone_var"] == "is larger"
    full, alone = (kept.estimate(row, "low_band").mean for row in ("full objective", "the authors' terms alone"))
    assert told["alone_low_times"] == pytest.approx(alone / full, rel=0.05) and told["most_low"] < told["alone_low_times"]


def test_codes_of_captures_are_compared_with_every_other_kind():
    told = said.codes_words()
    for words in told.values():
        assert all(row in words for row in record("codes").rows if row != "captures")


def test_the_page_says_how_long_each_of_its_runs_is(lab):
    from studiolike import weights

    told = said.runs(lab, weights.read_card("g_studio", protocol="few"))
    trained = {name: len(lab.train(told[f"{name}_images"])[1]["images"]) for name in ("short", "careless")}
    assert trained == {name: told[f"{name}_steps"] for name in trained}  # the log has a line for every step
    assert told["few"] == len(lab.studio) and told["live_images"] == lab.settings.live_images
    assert told["ledger_judged"] == record("layers").per_person("after 8²", "low_band").shape[1]
    assert {told[f"ledger_{key}"] for key in ("images", "few")} == {record("codes").settings[key] for key in ("images", "few")}


def test_the_outcome_is_told_by_the_test_over_people(lab):
    rows = lab.data.captures("val")[:3]
    truth = lab.data.studio_batch(lab.data.subject[rows])
    table, metrics = lab.measure(rows, {"truth": truth}, rivals=True), list(said.OUTCOME.values())
    told = said.outcome(table, "truth", table.verdicts("truth", list(said.SIMPLE), metrics))
    assert told["captures"] == 3 and told["id_phone"] < 0.999 < told["id_ours"]
    # so few people cannot decide anything, not even of the truth itself
    people = len(torch.as_tensor(lab.data.subject)[rows].unique())
    assert told["id_says"].startswith(f"cannot, with only {people} people, be told from doing nothing, the mean studio texture")


def test_every_term_of_the_objective_has_its_code_on_the_page(monkeypatch):
    seen = []
    monkeypatch.setattr(drawn.notebook, "source", lambda function, title: seen.append(title))
    drawn.code()
    own = [name for name in drawn.TERMS.values() if name.startswith("ours")]
    assert len(seen) == len(set(seen)) == 10 and set(own) < set(seen)
