"""Chapter 4's laboratory: what freezing touches, and short runs under the protocol of few studio textures."""

import numpy as np
import pytest
import torch
from fakes import FakeSet

from studiolike import config
from studiolike.chapters import adaptation as drawn
from studiolike.chapters import figures
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
    terms = lab.first_terms()
    assert terms["percp"] < 1e-4 and terms["face_id"] < 1e-4 and set(terms) == {*PAPER, *OURS}
    told = drawn.first_terms(terms)
    assert told["ours_first"] == pytest.approx(sum(terms[name] for name in OURS))
    assert told["ours_word"] == ("outweigh" if told["ours_first"] > told["paper_first"] else "weigh no more than")


def test_every_symbol_has_a_value_of_the_settings(lab, shown):
    drawn.symbols(lab)
    values = {line[0]: line[2] for line in shown[0][1:] if line[0] != "–"}
    assert values["$λ_1$"] == f"{lab.settings.adapt.perceptual:g}" and values["$P$"] == len(lab.pairs)
    assert all(str(value) for value in values.values())


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
    results = {"all terms": lab.translate(trained, codes)}
    start = lab.translate(lab.g_phone, codes)
    assert (results["all terms"] - start).abs().max() > 0
    figures.show(drawn.run_figure(log), "one run")
    figures.show(drawn.opinions_figure({"ours": log}, 16), "opinions")
    table = lab.measure(rows, {"G_phone(w)": start} | results, regions=("face",))
    assert drawn.effects(table, results, start)["all terms"] > 0 and np.isfinite(drawn.gap(log))
    figures.show(drawn.severity_figure(np.arange(3.0), table, {"G_phone(w)": "G_phone", "all terms": "run"}), "by light")
    assert len(shown) == 4


def test_codes_of_captures_differ_between_layers_and_codes_of_w_do_not(lab, shown):
    codes = lab.codes_of(*lab.data.phone_batch(lab.data.captures("val")[:2]))
    found = lab.sources(codes, draws=8)
    assert found["z"].layers < 1e-5 < found["captures"].layers
    told = drawn.sources(lab, found)
    assert told["codes_closest"] in drawn.SOURCES.values() and told["codes_ratio"] > 0


def test_the_ledger_is_quoted_or_said_to_be_empty(tmp_path, monkeypatch):
    from IPython import display

    from studiolike.experiments import experiments

    texts = []
    monkeypatch.setattr(display, "display", lambda piece: texts.append(piece.data))
    monkeypatch.setattr(drawn, "records_dir", lambda: tmp_path)
    for name in ("layers", "codes", "losses", "terms"):
        assert name in experiments()
        drawn.ledger(name)
    assert all("no record" in text for text in texts) and len(texts) == 4
