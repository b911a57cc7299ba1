"""The verbs for pictures of a person: capture, convert, view.

They run in a process of their own, once a picture, so what they import is most of what a user waits for.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from ..errors import InputError
from .options import Out, check_seed, say


def without_compiler() -> None:
    """Import diffusers as where torch has no compiler, which it would load to mark what may be compiled.

    That takes longer than a conversion, which compiles nothing. Only for a process of our own: whoever uses the package in
    theirs may want to compile.
    """
    if "torch._dynamo" in sys.modules:
        return
    sys.modules["torch._dynamo"] = None  # type: ignore[assignment]  # importing it fails
    try:
        import diffusers.utils.torch_utils  # noqa: F401
    except ImportError:  # a version that does not expect that; it is imported as usual
        pass
    finally:
        del sys.modules["torch._dynamo"]


@dataclass(frozen=True)
class Capture:
    """Photo or video to a phone texture and its visibility map, in the head layout."""

    photos: Positional[tuple[Path, ...]]
    """one photo, several photos of one person, or one video"""
    out: Out = Path("phone.png")
    """texture to write; <name>.visibility.png is written beside it"""
    size: int = 512
    """texels, a power of two"""
    landmarks: Path | None = None
    """use stored landmarks, so that several photos of one pose unwrap exactly alike"""
    save_landmarks: Path | None = None
    """store the landmarks that were found"""
    hair: bool = True
    """read hair and the sides of the head too; without, for somebody in a hat or a scarf, the face alone"""
    report: Path | None = None
    """contact sheet of the photos or frames that were used and left out, with reasons: .png or .html"""
    overwrite: bool = False
    """replace files that exist"""

    def run(self) -> None:
        without_compiler()
        from ..files import capture_files
        from ..io import visibility_path

        for warning in capture_files(self, say).get("warnings", []):
            say(f"note: {warning}")
        for path in (self.out, visibility_path(self.out), self.save_landmarks, self.report):
            if path:
                say(f"wrote {path}")


@dataclass(frozen=True)
class Convert:
    """Phone texture, photo, photos, video, or a folder of them, to studio-like textures. A folder that was stopped goes on."""

    input: Positional[tuple[Path, ...]]
    """a texture in the head layout, a photo, several photos of one person, a video; or a folder, each file another person"""
    out: Out = Path("studio.png")
    """texture to write; a folder if the input is one"""
    size: int = 512
    """texels of the result, a power of two up to 2048"""
    kind: Literal["auto", "texture", "photo"] = "auto"
    """what a picture is; auto asks the file, then how it looks, then whether a visibility map lies beside it"""
    visibility: Path | None = None
    """visibility map; default <input>.visibility.png, else everything that is not black"""
    truth: Path | None = None
    """true studio texture to measure against"""
    report: Path | None = None
    """also write one HTML page for a person: before and after, the head to turn, what was seen and what was invented"""
    weights: Path | None = None
    """default: the released weights; or a protocol with released weights, a folder of save_pretrained, a run of train"""
    protocol: Literal["few", "open"] | None = None
    """of all networks that learnt from studio textures; default: open, or few if that is all that a run has"""
    detail_steps: int = 0
    """of the diffusion sampler, up to 1000; 0: fusion alone"""
    guided: bool = True
    """whether the phone texture's detail is looked at; without it, detail is invented"""
    hair: bool = True
    """read hair and the sides of the head from a photo too; without, for somebody in a hat or a scarf, the face alone"""
    borrow: bool = True
    """give what the picture did not show the detail of somebody else's hair, ears and skin, and draw the line between the lips"""
    keep_tone: bool = True
    """keep skin about as light as the picture shows it, a little redder, and more of the picture itself; for real people"""
    shape: bool = True
    """write the shape of the head into the result, for view to make the head of; with it the file tells more of the person"""
    seed: int = 0
    shard: str | None = None
    """of a folder, only this share: 3/8 is the third of eight; accelerate launch divides by itself"""
    overwrite: bool = False
    """replace results that exist; in a folder, convert again what is done"""
    device: str | None = None
    json: bool = False
    """print metrics, timings and what was seen and borrowed as JSON on standard output"""
    quiet: bool = False

    def run(self) -> int:
        check_seed(self.seed)
        if not self.input:
            raise InputError("name a texture, a photo, a video or a folder to convert")
        without_compiler()
        from ..convert import closing, launched, notes_of, run, without_use
        from ..files import was_left_out

        started = time.perf_counter()
        outcome = run(self)
        if self.json:
            print(
                json.dumps(
                    {
                        "results": outcome.reports,
                        "existing": outcome.existing,
                        "skipped": {str(path): reason for path, reason in outcome.skipped.items()},
                        "total_seconds": round(time.perf_counter() - started, 3),
                    },
                    indent=2,
                )
            )
        elif self.truth:
            for name, value in outcome.reports[0]["metrics"].items():
                print(f"{name}: {value}")
        many = self.input[0].is_dir()
        if not self.quiet and not self.json:
            if many:
                say(f"{self.out}: {closing(outcome)}")
            for line in notes_of(outcome.reports) if many else outcome.reports[0].get("warnings", []):
                say(f"note: {line}")
            for path in () if many else (self.out, self.report):
                if path:
                    say(f"wrote {path}")
        if not self.quiet and outcome.ignored:
            say(f"note: {without_use(outcome.ignored)}")
        for path, reason in outcome.skipped.items():
            say(was_left_out(str(path), reason))
        if outcome.skipped:
            count = len(outcome.skipped)
            files = "1 file could not be used and was" if count == 1 else f"{count} files could not be used and were"
            say(f"studiolike: {files} left out")
        if not outcome.skipped or launched(os.environ.items())[1] > 1:
            return 0  # whoever launched several processes kills the others when one ends with another code
        return 1 if outcome.reports or outcome.existing else 2


@dataclass(frozen=True)
class View:
    """A texture on the head: an avatar as GLB, and an HTML page that turns it; on request a turntable and a relit sheet."""

    texture: Positional[Path]
    out: Out = Path("avatar.glb")
    """GLB to write; the page is written beside it"""
    compare: Path | None = None
    """another texture to switch to in the page, for example the phone texture"""
    own_head: bool = True
    """give the head its own shape, where the texture's file tells it; without it everybody gets the base head"""
    normals: bool = True
    """give the GLB the relief of the skin, read from the texture, as a normal map"""
    turntable: Path | None = None
    """also write one full turn as .mp4 (needs PyAV), .webp, .gif or .png"""
    relit: Path | None = None
    """also write a sheet of the head under four lights"""
    before: Path | None = None
    """first row of that sheet, for example the phone texture"""
    overwrite: bool = False
    """replace files that exist"""

    def run(self) -> None:
        from ..files import doubts, export_avatar

        notes: list[str] = []
        written = export_avatar(self, notes.append)
        for line in [*notes, *doubts(self.texture)]:
            say(f"note: {line}")
        for path in written:
            say(f"wrote {path}")
