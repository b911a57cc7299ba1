"""The verbs for data: make synthetic sets; fetch, retarget and import real ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg, subcommand

from ..config import profile
from .options import OptionalOut, Out, say


@dataclass(frozen=True)
class Synth:
    """Make the synthetic sets of a profile."""

    profile: str = "cpu"
    runs: Path = Path("runs")
    """folder under which the sets are written"""
    device: str = "cpu"

    def run(self) -> None:
        from ..recipes import data_sets

        for data in data_sets(profile(self.profile), self.runs, device=self.device):
            say(f"{data.path}: {len(data.phone)} phone textures of {len(data.studio)} subjects at {data.resolution}²")


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
        from ..sets import entry, fetch

        chosen, folder = entry(self.name), self.out or Path("data") / self.name
        print(chosen.notice(), flush=True)  # before anything is asked of a server
        files = fetch(chosen, folder, accept_licence=self.accept_licence, ids=self.ids, limit=self.limit)
        say(f"{folder}: {len(files)} files; next:  studiolike data retarget {folder} -o data/textures")


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
    overwrite: bool = False
    """replace files that exist"""

    def run(self) -> None:
        from ..io import visibility_path
        from ..sets import retarget_path

        written, notes = retarget_path(self)
        for note in notes:
            say(f"note: {note}")
        if written == [self.out]:
            for path in (self.out, visibility_path(self.out), self.save_landmarks):
                if path:
                    say(f"wrote {path}")
        else:
            say(f"wrote {len(written)} textures, each with its visibility map, into {self.out}")


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
    overwrite: bool = False
    """replace the files of a set, or others of their names, that are in the folder"""

    def run(self) -> None:
        from ..sets import collect

        data = collect(
            self.out,
            studio=self.studio,
            phone=self.phone,
            size=self.size,
            held_out=self.held_out,
            overwrite=self.overwrite,
        )
        splits = ", ".join(f"{count} {name}" for name, count in data.manifest["splits"].items() if count)
        say(
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
