"""What each stage of a chain is worth, on people of the validation split under several lights.

python benchmarks/chain_quality.py                          the released weights
python benchmarks/chain_quality.py WEIGHTS                  few, open, a saved pipeline's folder, or a training run
"""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import Tensor


def validation_set(subjects: int, lights: int, resolution: int, root: Path, device: str):
    """``subjects`` people of the validation split under ``lights`` lights; made under ``root`` once."""
    from studiolike.synth import SetSpec, write_set

    spec = SetSpec(
        resolution=resolution,
        phone_subjects=0,
        studio_subjects=0,
        pair_subjects=0,
        val_subjects=subjects,
        test_subjects=0,
        lightings=lights,
    )
    return write_set(spec, root / f"val-{resolution}-{spec.digest()[:10]}", device=device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?", help="as StudioPipeline.chosen takes them; default: the released weights")
    parser.add_argument("--subjects", type=int, default=32)
    parser.add_argument("--lights", type=int, default=4)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data", type=Path, default=Path("runs/data"), help="where the set is made and kept")
    options = parser.parse_args()

    from studiolike import weights
    from studiolike.evaluation import StudioReference, bound, chain_quality, quality_lines
    from studiolike.pipeline import StudioPipeline

    data = validation_set(options.subjects, options.lights, options.size, options.data, options.device)
    pipe = StudioPipeline.chosen(options.weights, options.device)
    quotient = bound(StudioReference(weights.studio_mean()[0]))["quotient"]

    def chain(texture: Tensor, visibility: Tensor) -> dict[str, Tensor]:
        out = pipe(texture, visibility, resolution=options.size)
        return {"quotient": quotient(texture, visibility), "generator": out.studio_lr, "chain": out.texture}

    print(quality_lines(chain_quality(chain, data, resolution=options.size, device=options.device)))


if __name__ == "__main__":
    main()
