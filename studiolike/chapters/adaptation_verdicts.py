"""What chapter 4 tells in words: how long its runs are, what the measured result says, and what the ledger says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..evaluation import EvaluationTable, higher_is_better
from ..evaluation.verdict import BETTER, CANNOT_TELL, WORSE, Verdict, decidable, listed, seeded_verdicts
from ..experiments import record
from ..experiments.adaptation import PEOPLE
from ..experiments.few_shot import OURS, RECITED, FewShotLaboratory

LIGHT = {"low": "low_band", "var": "variance_ratio"}  # measures of light
SIMPLE = {
    "nothing": "doing nothing",
    "mean_studio": "the mean studio texture",
    "colour_transfer": "the colour transfer",
    "quotient": "the quotient",
}  # rivals that learn nothing, in a sentence's words
OUTCOME = {"psnr": "psnr/observed", "light": "asymmetry", "id": "faceid_cosine", "colour": "colour"}


def runs(lab: FewShotLaboratory, card: Mapping) -> dict[str, int]:
    """How long each kind of run on the page is, and of whom it learns; the ledger's runs by its record of the terms."""
    kept, facts = record("terms"), card["settings"]
    full = kept.settings | {"people": min(PEOPLE, kept.settings["data"]["phone_subjects"])}
    images = {
        "released": (card["images"], facts["batch"]),
        "live": (lab.live.images, lab.live.batch),
        "short": (lab.short, lab.live.batch),
        "careless": (lab.watched, lab.live.batch),
        "ledger": (full["images"], full["batch"]),
    }
    told = {f"{name}_images": count for name, (count, _) in images.items()}
    told |= {f"{name}_steps": -(-count // batch) for name, (count, batch) in images.items()}
    return told | {
        "few": len(lab.studio),
        "recited": RECITED,
        "released_few": facts["studio"],
        "released_people": facts["data"]["phone_subjects"],
        "live_people": len(lab.data.subjects("phone")),
        "ledger_few": full["few"],
        "ledger_people": full["people"],
        "ledger_seeds": len(kept.seeds(kept.baseline)),
        "ledger_judged": kept.per_person(kept.baseline, "low_band").shape[1],
    }


def outcome(table: EvaluationTable, ours: str, told: Mapping[tuple[str, str], Verdict]) -> dict[str, float | str]:
    """What the measured result says: means of the method and of the phone textures, and the verdicts against `SIMPLE`.

    Args:
        told: by rival and metric, as `EvaluationTable.verdicts` gives them.
    """
    people = len(np.unique(table.subject))
    found: dict[str, float | str] = {"subjects": people, "captures": len(table.rows)}
    for key, metric in OUTCOME.items():
        found |= {f"{key}_ours": table.estimate(ours, metric).mean, f"{key}_phone": table.estimate("nothing", metric).mean}
        found[f"{key}_says"] = against({words: told[rival, metric] for rival, words in SIMPLE.items()}, people)
    found["variance"] = table.estimate(ours, "variance_ratio").mean
    return found | {"tone_gap": table.tone_gap(ours), "tone_phone": table.tone_gap("nothing")}


def judged(experiment: str, row: str, rival: str, measure: str) -> Verdict:
    """One row of the ledger against another, judged alone, as the ledger's claims do."""
    return seeded_verdicts({0: record(experiment).difference(row, rival, measure)}, higher_is_better(measure))[0]


def against(told: Mapping[str, Verdict], people: int | None = None) -> str:
    """Verdicts against several rivals, as the end of a sentence: "is better than A and B, and cannot be told from C".

    Args:
        people: that a test over people had; where no numbers of so few could have decided, the sentence says that.
    """
    few = people is not None and not decidable(people, max(verdict.comparisons for verdict in told.values()))
    unsure = f"cannot, with only {people} people, be told from" if few else "cannot be told from"
    groups = {BETTER: "is better than", WORSE: "is worse than", CANNOT_TELL: unsure}
    names = {word: [name for name, verdict in told.items() if verdict.word == word] for word in groups}
    *others, last = (f"{groups[word]} {listed(found)}" for word, found in names.items() if found)
    return ", ".join([*others, f"and {last}" if others else last])


def layers_words() -> dict[str, str]:
    """Other choices of layers against ours, by the ledger.

    All layers, in nearness to G_phone's face and to the true one; and the frozen blocks' toRGB at rest, in light.
    """
    whole = {"kept": "faceid_kept", "truth": "faceid_mse"}
    near = ("is nearer to", "is further from", "cannot be told to be nearer to or further from")
    told = {f"whole_{key}": judged("layers", "whole network", "after 8²", m).say(*near) for key, m in whole.items()}
    ours = ("is better than", "is worse than", "cannot be told from")
    resting = "after 8², toRGB of the others frozen"
    return told | {f"rgb_{key}": judged("layers", resting, "after 8²", m).say(*ours) for key, m in LIGHT.items()}


def codes_words() -> dict[str, str]:
    """Training on the codes of captures against training on each other kind, by the ledger: in light, and in the true face."""
    rivals = [row for row in record("codes").rows if row != "captures"]
    measures = {"low": "low_band", "truth": "faceid_mse"}
    return {f"codes_{k}": against({r: judged("codes", "captures", r, m) for r in rivals}) for k, m in measures.items()}


def terms_words() -> dict[str, float | str]:
    """What becomes of the light without our four terms, together and one at a time, by the ledger."""
    kept = record("terms")
    full, alone = kept.baseline, "the authors' terms alone"
    # the rows that leave out one of ours and nothing else
    single = [row for row, changes in kept.rows.items() if len(changes) == 1 and set(changes) <= {*OURS}]
    told: dict[str, float | str] = {}
    for key, measure in LIGHT.items():
        words = [judged("terms", row, full, measure).word for row in single]
        verdict = judged("terms", alone, full, measure)
        told |= {
            f"alone_{key}": verdict.say("is smaller", "is larger", "cannot be told from it"),
            f"alone_{key}_times": float(kept.ratios(alone, full, measure).mean()),
            f"missed_{key}": words.count(WORSE),
            f"spared_{key}": words.count(BETTER),
            f"most_{key}": max(float(kept.ratios(row, full, measure).mean()) for row in single),
        }
    return told
