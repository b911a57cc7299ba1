"""`studiolike convert`: one face, or a folder of thousands, through the chain.

Everything that can be refused is refused before the first picture is read: what would be overwritten, two inputs that
would give one result, a setting that the last stage cannot take. A folder is worked off one face at a time, so memory
does not grow; a result appears under its name only when it is whole, so a run that was stopped, by whatever, goes on
where it was; and a face that cannot be used is named at the end and stops nothing.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import io, weights
from .capture.video import is_video
from .device import find_device
from .errors import InputError, OutputError, StudioError, WeightsError
from .files import PersonInput, file_key, protect, read_person, refuse_existing, shown, together
from .io import PICTURES, READABLE, check_output, check_size
from .pictures import is_picture
from .progress import bar
from .record import read_record, record, write_marked

if TYPE_CHECKING:
    from .chain import Chain
    from .cli import Convert

MOST_STEPS = 1000  # of the noise schedule that the detailer was trained on


@dataclass(frozen=True)
class Job:
    """One face: its files (several photos of one person, or one of anything) and where the result goes."""

    inputs: tuple[Path, ...]
    target: Path


@dataclass
class Outcome:
    """What a run did: reports of the converted faces; how many had a result; reasons of those that were left out; names of files
    that are no pictures. Of a folder also how many pictures are in it, whatever share was asked for, and how many folders."""

    reports: list[dict]
    existing: int
    skipped: dict[Path, str]
    ignored: list[str]
    found: int = 0
    folders: int = 0


def share(word: str | None, environment: Iterable[tuple[str, str]] = ()) -> tuple[int, int]:
    """Which share of a folder this process takes: ``(index from 0, count)``.

    Args:
        word: ``"3/8"`` is the third of eight, for an array job; None: everything.
        environment: of the process; under ``accelerate launch`` the share is divided again among the processes.
    Raises:
        InputError: not of that form.
    """
    index, count = 0, 1
    if word is not None:
        first, _, last = word.partition("/")
        if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
            raise InputError(f"--shard {word} is not possible: 3/8 is the third of eight shares")
        index, count = int(first) - 1, int(last)
    rank, world = launched(environment)
    return index * world + rank, count * world


def launched(environment: Iterable[tuple[str, str]]) -> tuple[int, int]:
    """Which of how many processes of one ``accelerate launch`` this is; ``(0, 1)``: it runs alone."""
    variables = dict(environment)
    rank, world = variables.get("RANK", ""), variables.get("WORLD_SIZE", "")
    return (int(rank), int(world)) if rank.isdecimal() and world.isdecimal() and int(rank) < int(world) else (0, 1)


def plan(inputs: tuple[Path, ...], out: Path) -> tuple[list[Job], list[str], int]:
    """Jobs of a call; the names in a folder that are left out because they are neither picture nor video; how many folders are
    in it, into which nobody looks.

    What a file is its ending says, or its first bytes if it has none: other endings are a purpose (a backup, a camera's raw
    data or thumbnail), even where a picture is inside.

    Raises:
        InputError: no such file, nothing to do, two inputs of one name. OutputError: the result would replace an input,
            or cannot be written.
    """
    for path in inputs:
        if not path.exists():
            raise InputError(f"no such file: {shown(path)}")
    folders = [path for path in inputs if path.is_dir()]
    if folders and len(inputs) > 1:
        raise InputError(f"{shown(folders[0])} is a folder: convert it alone; several files are photos of one person")
    if not folders:
        check_output(out, PICTURES)
        protect(inputs, [out])
        return [Job(inputs, out)], [], 0
    folder = folders[0]
    if out.exists() and not out.is_dir():
        raise OutputError(f"{shown(out)} is a file; name a folder, as the input is one")
    if out.exists() and out.samefile(folder):
        raise OutputError(f"the results would overwrite the pictures in {shown(folder)}; choose another folder")
    found, ignored, below = [], [], 0
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".")  # also ._name, which macOS leaves beside every file on foreign disks
        if hidden or ".visibility" in path.name or not path.is_file():
            below += path.is_dir() and not hidden and not (out.exists() and out.samefile(path))
            continue
        picture = path.suffix.lower() in READABLE or (not path.suffix and is_picture(path))
        (found if picture or is_video(path) else ignored).append(path)
    if not found:
        raise InputError(f"no pictures in {shown(folder)}" + (f"; {_unsearched(below)}" if below else ""))
    jobs, names = [], {}
    for path in found:
        name = file_key(path.stem)
        if name in names:
            raise InputError(f"{shown(names[name])} and {shown(path)} would give one result; rename one of them")
        names[name] = path
        jobs.append(Job((path,), out / f"{path.stem}.png"))
    check_output(jobs[0].target, PICTURES)
    protect(found, [job.target for job in jobs])
    return jobs, [path.name for path in ignored], below


def check(command: Convert) -> None:
    """Refuse settings that some stage would refuse later. Raises `InputError` or `OutputError`."""
    check_size(command.size)
    if not 0 <= command.detail_steps <= MOST_STEPS:
        raise InputError(f"--detail-steps {command.detail_steps} is not possible: use 0, fusion alone, and at most {MOST_STEPS}")
    many = any(path.is_dir() for path in command.input)
    for name in ("truth", "visibility", "report"):
        if many and getattr(command, name) is not None:
            raise InputError(f"--{name} belongs to one face; the input is a folder")
    for path, read in ((command.truth, io.read_texture), (command.visibility, io.read_visibility)):
        if path is not None:
            read(path)
    if command.visibility and (command.kind == "photo" or len(command.input) > 1):
        raise InputError("--visibility belongs to a texture; photos bring their own")
    if command.report:
        check_output(command.report, {".html", ".htm"})
        given = [path for path in (command.truth, command.visibility) if path]
        protect([*command.input, *given, command.out], [command.report])
    if not many:
        protect([path for path in (command.truth, command.visibility) if path], [command.out])


def settings_of(command: Convert) -> dict[str, Any]:
    """What a result depends on besides its input; written into it, and compared when a folder goes on.

    Raises:
        WeightsError, ProtocolError: see `weights.choose`.
    """
    choice = weights.choose(command.weights, command.protocol)
    return {
        "size": command.size,
        "detail_steps": command.detail_steps,
        "guided": command.guided,
        "hair": command.hair,
        "borrow": command.borrow,
        "keep_tone": command.keep_tone,
        "tells_shape": command.shape,
        "seed": command.seed,
        "kind": command.kind,
        # the last name alone: a result goes to other people, and whose home its networks lie in is not their business
        "weights": choice.name if choice.root else None,
        "protocol": choice.protocol,
    }


def run(command: Convert) -> Outcome:
    """Do what a command line asks for.

    Raises:
        StudioError: nothing could be done. In a folder, a face that cannot be used is left out instead.
    """
    check(command)
    jobs, ignored, folders = plan(command.input, command.out)
    found = len(jobs)
    many = command.input[0].is_dir()
    if not many:
        refuse_existing([path for path in (command.out, command.report) if path], command.overwrite)
    if not many and command.shard:
        raise InputError("--shard divides a folder; the input is one face")
    index, count = share(command.shard, os.environ.items())
    if many:
        jobs = jobs[index::count]
    device = find_device(command.device)
    if device.type == "cuda" and command.device is None and (local := os.environ.get("LOCAL_RANK", "")).isdecimal():
        device = torch.device("cuda", int(local) % torch.cuda.device_count())
    settings = settings_of(command)
    waiting = jobs if command.overwrite or not many else unfinished(jobs, settings, command.out)
    existing = len(jobs) - len(waiting)
    pipe, reports, skipped = None, [], {}
    show = not command.quiet
    with bar(None, "convert", "face", show=show, total=len(jobs), initial=existing, leave=many) as faces:
        for job in waiting:
            try:
                began = time.perf_counter()
                person = read_person(
                    job.inputs, command.kind, command.visibility, command.size, whole=command.hair, progress=show
                )
                reading = time.perf_counter() - began
                if pipe is None:  # only now: a wrong picture is told without waiting for the networks
                    pipe = load(command, device)
                reports.append(convert(pipe, command, job, person, settings, reading))
            except (WeightsError, OutputError):  # the next face would meet the same
                raise
            except Exception as error:
                if not many:
                    raise
                reason = str(error) if isinstance(error, StudioError) else f"{type(error).__name__}: {error}"
                skipped[job.inputs[0]] = " ".join(reason.split())
            faces.update()
    return Outcome(reports, existing, skipped, ignored, found, folders)


def closing(outcome: Outcome) -> str:
    """What became of a folder, in one line."""
    done, total = len(outcome.reports), len(outcome.reports) + outcome.existing + len(outcome.skipped)
    if not total:
        said = [f"none of the folder's {outcome.found} files is in this share, so there was nothing to do"]
    else:
        said = [f"{done} of {total} converted now"]
    if outcome.existing:
        said.append(f"{outcome.existing} kept as they were (--overwrite makes them anew)")
    if outcome.folders:
        said.append(_unsearched(outcome.folders))
    return ", ".join(said)


def _unsearched(count: int) -> str:
    return "1 folder in it was not searched" if count == 1 else f"{count} folders in it were not searched"


def without_use(ignored: list[str]) -> str:
    """A sentence about files that are neither picture nor video."""
    listed = ", ".join(map(shown, ignored[:5])) + (" …" if len(ignored) > 5 else "")
    counted = "1 file is" if len(ignored) == 1 else f"{len(ignored)} files are"
    return f"{counted} neither picture nor video and left out: {listed}"


def notes_of(reports: list[dict]) -> list[str]:
    """What was noted of the faces of a folder: every kind of note once, as of the first face, and how many faces it is about."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for report in reports:
        for line in report.get("warnings", []):
            name = shown(Path(report["input"]).name)
            kind = re.sub(r"[0-9.]+", "", line.replace(f"{Path(name).stem}.", ""))
            kinds.setdefault(kind, []).append((name, line))
    return [f"{len(told)} of {len(reports)} faces, the first one {told[0][0]}: {told[0][1]}" for told in kinds.values()]


def load(command: Convert, device: torch.device) -> Chain:
    """The chain that a command names, and of it only what the command needs: the rest would take longer than a conversion."""
    from .chain import Chain

    kind = Chain
    if weights.choose(command.weights, command.protocol).protocol is None:  # such a folder only diffusers reads
        from .pipeline import StudioPipeline as kind  # type: ignore[assignment]
    return kind.chosen(command.weights, device, protocol=command.protocol, detailing=command.detail_steps > 0)


def unfinished(jobs: list[Job], settings: dict[str, Any], out: Path) -> list[Job]:
    """Jobs whose result is not there yet; what a killed run left half written is removed.

    Raises:
        OutputError: results of other settings are there.
    """
    waiting, others = [], []
    torn = {path.name: path for path in out.glob(".*-????????.png")} if out.is_dir() else {}
    for job in jobs:
        if job.target.exists():
            made = read_record(job.target)
            if made is not None and any(made.get(name) != value for name, value in settings.items()):
                others.append((job.target, made))
        else:
            waiting.append(job)
            start = f".{job.target.stem}-"
            for name in [n for n in torn if n.startswith(start) and len(n) == len(start) + len("????????.png")]:
                torn.pop(name).unlink(missing_ok=True)
    if others:
        path, made = others[0]
        names = ", ".join(f"{k} {made.get(k)} → {v}" for k, v in settings.items() if made.get(k) != v)
        raise OutputError(
            f"{len(others)} results in {shown(out)} were made with other settings ({shown(path.name)}: {names}); "
            "choose another folder, or add --overwrite"
        )
    return waiting


def convert(pipe, command: Convert, job: Job, person: PersonInput, settings: dict[str, Any], reading: float) -> dict:
    """One face through the pipeline and onto the disk; returns its report."""
    began = time.perf_counter()
    result = pipe(
        person.texture,
        person.visibility,
        resolution=command.size,
        steps=command.detail_steps,
        guided=command.guided,
        borrow=command.borrow,
        keep_tone=command.keep_tone,
        seed=command.seed,
        progress=not command.quiet,
    )
    texture = result.texture[0].cpu()
    sources = result.origin[0].cpu()
    made = record(seen(person)[0], sources, settings, settings["protocol"])
    shape = person.shape if command.shape else None
    report = {"input": str(job.inputs[0]), "out": str(job.target), **person.facts, "record": made}
    if len(job.inputs) > 1:
        report["inputs"] = [str(path) for path in job.inputs]
    if command.json or command.truth:
        from .evaluation.report import measure

        truth = io.read_texture(command.truth, command.size)[None] if command.truth else None
        psnr = float(result.psnr_observed[0])
        report["metrics"] = {
            "psnr_observed": None if math.isnan(psnr) else round(psnr, 2),  # nothing of the face was seen
            **measure(person.texture, person.visibility, texture[None], truth),
        }
    told = likeness(person, texture, report) if command.report else ""
    seconds = {"reading": reading, **result.seconds}
    seconds["measuring"] = time.perf_counter() - began + reading - sum(seconds.values())
    report["seconds"] = {name: round(value, 3) for name, value in seconds.items()}
    with together([job.target, *([command.report] if command.report else [])]) as place:
        write_marked(texture, place[job.target], made, shape)
        if command.report:
            from .avatar import write_report

            name, facts = shown(job.inputs[0].name), report | {"likeness": told}
            maps = person.texture[0], seen(person)[0], texture, sources
            write_report(place[command.report], *maps, made, name=name, facts=facts, shape=shape)
    return report


def likeness(person: PersonInput, texture: Tensor, report: dict) -> str:
    """How near the result ``(3, M, M)`` is to the input, in words; its report may hold the distance already."""
    from .evaluation import face_judge
    from .evaluation.report import same_person

    known = report.get("metrics", {}).get("face_distance_to_input")
    if known is None:
        known = face_judge.distance(texture[None], person.texture, person.visibility).item()
    return same_person(known)


def seen(person: PersonInput) -> Tensor:
    """Visibility ``(1, 1, N, N)`` of an input: as given, or what is not black, as the pipeline takes it."""
    if person.visibility is not None:
        return person.visibility
    return (person.texture.amax(1, keepdim=True) > 2 / 255).float()
