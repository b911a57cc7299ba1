"""The command line: one verb per stage. Every verb is a small dataclass, which tyro turns into its options.

A wrong input gives one line on standard error and exit code 2; a folder of which some faces could not be used gives 1;
an interrupt gives 130 (a request to end, SIGTERM, 143) and leaves a resumable state. Nothing heavy is imported before a
verb needs it: help must come at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg, subcommand

from .config import Profile, profile
from .errors import InputError, StudioError

Out = Annotated[Path, arg(aliases=["-o"])]
OptionalOut = Annotated[Path | None, arg(aliases=["-o"])]  # the alias of `Out | None` would be lost
# the profile named on the command line decides the defaults of the settings that can be changed beside it
_profile: ContextVar[str] = ContextVar("profile", default="cpu")


def _say(message: str) -> None:
    # names on a disk need not be text
    print(message.encode("utf-8", "replace").decode(), file=sys.stderr, flush=True)


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed {seed} is not possible: use 0 to 2**63 - 1")


def _without_compiler() -> None:
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
    report: Path | None = None
    """contact sheet of the photos or frames that were used and left out, with reasons: .png or .html"""

    def run(self) -> None:
        _without_compiler()
        from .files import capture_files

        quality = capture_files(self.photos, self.out, self.size, self.landmarks, self.save_landmarks, self.report)
        for warning in quality.get("warnings", []):
            _say(f"note: {warning}")
        _say(f"wrote {self.out}")


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
    """what a picture is; auto looks for a visibility map beside it, then for a face"""
    visibility: Path | None = None
    """visibility map; default <input>.visibility.png, else everything that is not black"""
    truth: Path | None = None
    """true studio texture to measure against"""
    report: Path | None = None
    """also write one HTML page for a person: before and after, the head to turn, what was seen and what was invented"""
    weights: Path | None = None
    """default: the released weights; or a protocol with released weights, a folder of save_pretrained, a run of train"""
    detail_steps: int = 0
    """of the diffusion sampler, up to 1000; 0: fusion alone"""
    guided: bool = True
    """whether the phone texture's detail is looked at; without it, detail is invented"""
    borrow: bool = True
    """give what the picture did not show the detail of somebody else's hair, ears and skin"""
    keep_tone: bool = True
    """keep skin as light as the picture shows it; without, a network reads how light it may be, which knows synthetic people"""
    shape: bool = True
    """write the shape of the face into the result, for view to make the head of; with it the file tells more of the person"""
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
        _check_seed(self.seed)
        if not self.input:
            raise InputError("name a texture, a photo, a video or a folder to convert")
        _without_compiler()
        from .convert import run

        started = time.perf_counter()
        outcome = run(self, (lambda _: None) if self.quiet else _say)
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
        if not self.quiet and not self.json:
            if self.input[0].is_dir():
                done, total = len(outcome.reports), len(outcome.reports) + outcome.existing + len(outcome.skipped)
                _say(f"{self.out}: {done} of {total} converted now, {outcome.existing} stood there")
            else:
                for warning in outcome.reports[0].get("warnings", []):
                    _say(f"note: {warning}")
                for path in (self.out, self.report):
                    if path:
                        _say(f"wrote {path}")
        for path, reason in outcome.skipped.items():
            _say(f"left out {path}: {reason}")
        if outcome.skipped:
            _say(f"studiolike: {len(outcome.skipped)} files could not be used and were left out")
        return 0 if not outcome.skipped else 1 if outcome.reports or outcome.existing else 2


@dataclass(frozen=True)
class View:
    """A texture on the head: an avatar as GLB, and an HTML page that turns it; on request a turntable and a relit sheet."""

    texture: Positional[Path]
    out: Out = Path("avatar.glb")
    """GLB to write; the page is written beside it"""
    compare: Path | None = None
    """another texture to switch to in the page, for example the phone texture"""
    own_head: bool = True
    """give the head the shape of the face, where the texture's file tells it; without it everybody gets the base head"""
    normals: bool = True
    """give the GLB the relief of the skin, read from the texture, as a normal map"""
    turntable: Path | None = None
    """also write one full turn as .mp4 (needs PyAV), .webp, .gif or .png"""
    relit: Path | None = None
    """also write a sheet of the head under four lights"""
    before: Path | None = None
    """first row of that sheet, for example the phone texture"""

    def run(self) -> None:
        from .files import export_avatar

        for path in export_avatar(
            self.texture,
            self.out,
            self.compare,
            own_head=self.own_head,
            normals=self.normals,
            turntable=self.turntable,
            relit=self.relit,
            before=self.before,
        ):
            _say(f"wrote {path}")


@dataclass(frozen=True)
class Train:
    """Train a stage (identity, phone, codes, exemplars, adapt, tone, detail) or all of them in order; stopped runs resume."""

    stage: Positional[Literal["identity", "phone", "codes", "exemplars", "adapt", "tone", "detail", "all"]]
    profile: str = "cpu"
    runs: Path = Path("runs")
    """folder of data sets and runs"""
    release: bool = False
    """write the trained networks into the released weights"""
    warm: bool = False
    """start from the released networks, which must be of the profile's size, instead of from noise"""
    studio_set: Path | None = None
    """adapt only: learn from the studio textures of a set of data import instead of the synthetic ones"""
    protocol: Literal["few", "open"] | None = None
    """adapt, tone and detail only: few studio textures, or every one that the generator gives; default: both"""
    device: str | None = None
    seed: int = 0
    set: Profile = field(default_factory=lambda: profile(_profile.get()))
    """any setting of the profile, for example --set.pretrain.images 100000"""

    def run(self) -> None:
        _check_seed(self.seed)
        from .recipes import train

        train(
            self.stage,
            self.set,
            self.runs,
            release=self.release,
            warm=self.warm,
            device=self.device,
            seed=self.seed,
            studio=self.studio_set,
            protocol=self.protocol,
        )


@dataclass(frozen=True)
class Evaluate:
    """Measure the chain and the simple rivals on unseen synthetic subjects, whose true studio texture is known."""

    profile: str = "cpu"
    runs: Path = Path("runs")
    weights: str | None = None
    """few, open, a folder written by save_pretrained, or a run of studiolike train; default: the released weights"""
    split: Literal["test", "val"] = "test"
    """test for what is reported, val for choosing settings"""
    subjects: int | None = None
    """default: all subjects of the split"""
    photos: Path | None = None
    """folder of real photographs: measure on these instead whether the result is still that person"""
    device: str | None = None
    out: OptionalOut = None
    """JSON file for the table"""
    seed: int = 0

    def run(self) -> None:
        from .device import find_device
        from .pipeline import StudioPipeline

        settings, device = profile(self.profile), find_device(self.device)
        pipe = StudioPipeline.chosen(self.weights, device)
        if self.photos:
            from .evaluation.photos import photo_identity

            print(photo_identity(pipe, self.photos, out=self.out))
            return
        _check_seed(self.seed)
        from .recipes import evaluate_chain

        table = evaluate_chain(settings, self.runs, pipe, split=self.split, subjects=self.subjects, seed=self.seed)
        if self.out:
            table.to_json(self.out)
        print("\n".join([table.markdown(), table.versus("chain"), table.tones()]))


@dataclass(frozen=True)
class Synth:
    """Make the synthetic sets of a profile."""

    profile: str = "cpu"
    runs: Path = Path("runs")
    """folder under which the sets are written"""
    device: str = "cpu"

    def run(self) -> None:
        from .recipes import data_sets

        for data in data_sets(profile(self.profile), self.runs, device=self.device):
            _say(f"{data.path}: {len(data.phone)} phone textures of {len(data.studio)} subjects at {data.resolution}²")


@dataclass(frozen=True)
class Fetch:
    """Download a set of real textures: ava-256, multiface, ffhq-uv, leeperrysmith. Shows its licence first."""

    name: Positional[str]
    """which set; goliath-4 tells how to ask for it"""
    out: OptionalOut = None
    """folder of the set; default data/<name>"""
    accept_licence: bool = False
    """agree to the licence that is shown; nothing is downloaded without it"""
    ids: Path | None = None
    """Ava-256: a list of people of your own, CSV with the columns mcd, sid, mct"""
    limit: int | None = None
    """at most so many files"""

    def run(self) -> None:
        from .sets import entry, fetch

        chosen, folder = entry(self.name), self.out or Path("data") / self.name
        print(chosen.notice(), flush=True)  # before anything is asked of a server
        files = fetch(chosen, folder, accept_licence=self.accept_licence, ids=self.ids, limit=self.limit)
        _say(f"{folder}: {len(files)} files; next:  studiolike data retarget {folder} -o data/textures")


@dataclass(frozen=True)
class Retarget:
    """Bring textures of another UV layout into the head layout, by their face landmarks."""

    input: Positional[Path]
    """a texture, a fetched set, or a folder of textures"""
    out: Out = Path("data/textures")
    """texture to write, or folder; <name>.visibility.png is written beside each"""
    size: int = 512
    """texels, a power of two"""
    set: str = "auto"
    """how to read the folder: name of a set, or imagefolder; auto asks the record that fetch left"""
    landmarks: Path | None = None
    """use stored landmarks (one texture only)"""
    save_landmarks: Path | None = None
    """store the landmarks that were found (one texture only)"""
    limit: int | None = None
    """at most so many textures of a folder"""

    def run(self) -> None:
        from .sets import retarget_path

        written, notes = retarget_path(self.input, self.out, self.size, self.set, self.landmarks, self.save_landmarks, self.limit)
        for note in notes:
            _say(f"note: {note}")
        _say(f"wrote {self.out}" if written == [self.out] else f"wrote {len(written)} textures into {self.out}")


@dataclass(frozen=True)
class Import:
    """Make folders of textures in the head layout a set that training reads, split by subject."""

    studio: Path | None = None
    """folder of studio textures, for example of data retarget"""
    phone: Path | None = None
    """folder of phone textures, for example of capture; subjects in both folders become pairs"""
    out: Out = Path("data/set")
    """folder to write"""
    size: int = 256
    """texels, a power of two"""
    held_out: float = 0.1
    """part of the subjects that is kept for validation, and again for testing"""

    def run(self) -> None:
        from .sets import collect

        data = collect(self.out, studio=self.studio, phone=self.phone, size=self.size, held_out=self.held_out)
        splits = ", ".join(f"{count} {name}" for name, count in data.manifest["splits"].items() if count)
        _say(
            f"{data.path}: {len(data.studio)} studio and {len(data.phone)} phone textures at {data.resolution}²; "
            f"subjects: {splits}"
        )


@dataclass(frozen=True)
class Data:
    """Make synthetic sets, or plug in real ones: fetch, retarget, import."""

    verb: Annotated[
        Annotated[Synth, subcommand("synth")]
        | Annotated[Fetch, subcommand("fetch")]
        | Annotated[Retarget, subcommand("retarget")]
        | Annotated[Import, subcommand("import")],
        arg(name=""),
    ]

    def run(self) -> None:
        self.verb.run()


@dataclass(frozen=True)
class ListExperiments:
    """What experiments there are, and how much of each has been run."""

    records: Path | None = None
    """folder of records; default: the ones that come with the package"""

    def run(self) -> None:
        from .experiments import experiments, records_dir
        from .experiments.records import Record

        for name, one in experiments().items():
            path = (self.records or records_dir()) / f"{name}.json"
            done = len(Record.read(path).entries) if path.is_file() else 0
            print(f"{name}: {one.question} {len(one.rows)} rows, {done} runs recorded")


@dataclass(frozen=True)
class RunExperiments:
    """Run what is missing or stale of some experiments, one after the other; a sweep that was stopped goes on."""

    names: Positional[tuple[str, ...]]
    """names of experiments, or all"""
    seeds: int = 3
    rows: tuple[str, ...] | None = None
    """only these rows"""
    profile: str = "cpu"
    runs: Path = Path("runs")
    """folder of data sets"""
    records: OptionalOut = None
    """folder of records; default: the package's"""
    device: str | None = None

    def run(self) -> None:
        from .experiments import experiment, experiments
        from .experiments.lab import Lab
        from .experiments.run import run

        if self.seeds < 1:
            raise InputError("--seeds must be at least 1")
        names = list(experiments()) if self.names == ("all",) else self.names
        if not names:
            raise InputError("name the experiments to run, or all: studiolike experiment list")
        chosen, settings = [experiment(name) for name in names], profile(self.profile)
        lab = Lab(settings, self.runs, self.device)
        for one in chosen:
            run(one, settings, self.runs, seeds=self.seeds, rows=self.rows, root=self.records, lab=lab, say=_say)


@dataclass(frozen=True)
class TableOfExperiment:
    """The table of an experiment's record, as Markdown."""

    names: Positional[tuple[str, ...]]
    """names of experiments; default: all that have a record"""
    records: Path | None = None
    """folder of records; default: the ones that come with the package"""

    def run(self) -> None:
        from .experiments import experiments, record, records_dir

        root = self.records or records_dir()
        names = self.names or [name for name in experiments() if (root / f"{name}.json").is_file()]
        for name in names:
            made = record(name, root)
            print(f"## {made.question}\n\n{made.table()}")
            for row, seed in made.stale():
                _say(f"stale: {name}, {row}, seed {seed}: studiolike experiment run {name}")


@dataclass(frozen=True)
class RepeatExperiments:
    """Make one run of each record once more and compare; a result that differs gives exit code 1. Records are not touched."""

    names: Positional[tuple[str, ...]]
    """names of experiments, or all"""
    row: str | None = None
    """default: the first row beside the one that the others are compared with"""
    seed: int = 0
    profile: str = "cpu"
    runs: Path = Path("runs")
    """folder of data sets"""
    records: Path | None = None
    """folder of records; default: the ones that come with the package"""
    device: str | None = None

    def run(self) -> int:
        from .experiments import experiment, experiments, records_dir
        from .experiments.lab import Lab
        from .experiments.run import again

        root, settings = self.records or records_dir(), profile(self.profile)
        recorded = [name for name in experiments() if (root / f"{name}.json").is_file()]
        names = recorded if self.names == ("all",) else self.names
        if not names:
            raise InputError("name the experiments to repeat, or all: studiolike experiment list")
        lab, wrong = Lab(settings, self.runs, self.device), 0
        for name in names:
            row, differing = again(
                experiment(name), settings, self.runs, row=self.row, seed=self.seed, root=self.records, lab=lab
            )
            _say(f"{name}: {row}, seed {self.seed}: {'as recorded' if not differing else 'differs'}")
            for line in differing:
                _say(f"  {line}")
            wrong += bool(differing)
        return 1 if wrong else 0


@dataclass(frozen=True)
class ExperimentVerb:
    """The laboratory behind the book's claims: list the experiments, run them over several seeds, show their tables."""

    verb: Annotated[
        Annotated[ListExperiments, subcommand("list")]
        | Annotated[RunExperiments, subcommand("run")]
        | Annotated[RepeatExperiments, subcommand("again")]
        | Annotated[TableOfExperiment, subcommand("table")],
        arg(name=""),
    ]

    def run(self) -> int | None:
        return self.verb.run()


@dataclass(frozen=True)
class Doctor:
    """What is installed, which device and profile fit, and what to do about what is missing."""

    def run(self) -> None:
        from .doctor import report

        print(report())


VERBS: dict[str, Callable[..., Any]] = {
    "capture": Capture,
    "convert": Convert,
    "view": View,
    "train": Train,
    "evaluate": Evaluate,
    "data": Data,
    "experiment": ExperimentVerb,
    "doctor": Doctor,
}


@contextmanager
def _end_as_interrupt() -> Iterator[list[int]]:
    """Answer SIGTERM, which batch systems and notebooks send, like Ctrl-C, so that training saves what it has.

    Yields a list that holds the signal once it came. Whoever holds Ctrl-C back for a moment holds this back as well.
    """
    came: list[int] = []

    def interrupt(number: int, _: object) -> None:
        came.append(number)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job is deaf to Ctrl-C, but not to this
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():  # no other thread may set a signal
        yield came
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: list[str] | None = None) -> int:
    """Entry point of the ``studiolike`` command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    # threads that wait must not spin: beside one other busy process that made a conversion four times as slow. It has to be
    # said before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with _end_as_interrupt() as ended:
        try:
            _profile.set(_named_profile(argv))
            command = tyro.extras.subcommand_cli_from_dict(
                VERBS, prog="studiolike", args=argv, description="Studio-like face textures from phone captures."
            )
            return command.run() or 0
        except StudioError as error:
            _say(f"studiolike: {' '.join(str(error).split())}")
            return 2
        except KeyboardInterrupt:
            _say("studiolike: stopped")
            return 143 if ended else 130
        except BrokenPipeError:
            return 0
        except PermissionError as error:
            _say(f"studiolike: no permission: {error.filename}")
            return 2
        except OSError as error:
            _say(f"studiolike: {error.filename or 'a file cannot be read or written'}: {error.strerror or error}")
            return 2


def _named_profile(argv: list[str]) -> str:
    for k, word in enumerate(argv):
        if word.startswith("--profile="):
            return profile(word.split("=", 1)[1]).name
        if word == "--profile" and k + 1 < len(argv):
            return profile(argv[k + 1]).name
    return "cpu"


if __name__ == "__main__":
    sys.exit(main())
