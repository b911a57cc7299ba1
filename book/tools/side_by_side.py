"""Run chapters two at a time where cores and memory allow it, the longest first.

One chapter keeps two cores busy for part of its time only, so two of them on a core each are done sooner than one after the
other. What a chapter computes must not depend on who was its neighbour: how many threads it gets follows from the machine
(`lanes`), never from what happens to be free. Only when it starts depends on that (`run`): two chapters run together if their
expected peaks of memory fit, and something is left.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

# What to expect of chapters that have not run here yet: seconds, and MB of memory at most, both roughly. What a run measured
# takes the place of it.
USUAL = {
    "ch06": (230.0, 5000.0),
    "ch02": (200.0, 3000.0),
    "ch04": (160.0, 4500.0),
    "ch05": (90.0, 3000.0),
    "ch03": (80.0, 2000.0),
    "ch01": (75.0, 2500.0),
    "ch07": (40.0, 7000.0),
}
RESERVE = 2000  # MB that stay free: for what starts the chapters, and for the machine
LITTLE = 11_000  # MB; on machines with less than that, pairs would seldom fit, and one chapter has all cores
PAUSE = 0.2  # seconds between two looks at what runs


@dataclass(frozen=True)
class Job:
    """A chapter to run, and what to expect of it: seconds, and MB at the peak."""

    name: str
    seconds: float
    memory: float


def usual(name: str) -> Job:
    """What to expect of a chapter that was never measured here; one that nobody knows comes first and takes the most."""
    return Job(name, *USUAL.get(name[:4], tuple(map(max, *USUAL.values()))))


# --- the machine


def told(cores: int, threads: int | None, at_a_time: int) -> str:
    """What a time was measured on, for a reader."""

    def count(number: int, thing: str) -> str:
        return f"{number} {thing}" if number == 1 else f"{number} {thing}s"

    shared = f", {count(at_a_time, 'chapter')} at a time with {count(threads, 'thread')} each" if threads else ""
    return count(cores, "core") + shared


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> tuple[float, float]:
    """MB of memory altogether and free, of the machine or of the container that this runs in."""
    import psutil

    whole = psutil.virtual_memory()
    total, free = float(whole.total), float(whole.available)
    with suppress(OSError, ValueError, KeyError):  # no such control group, or one without a limit ("max")
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text()) - int(facts["inactive_file"])  # a cache makes room when asked
        total, free = min(total, limit), min(free, limit - used)
    return total / 2**20, free / 2**20


def lanes(on_gpu: bool, profile: str) -> tuple[int, int | None]:
    """How many chapters may run at a time, 1 or 2, and the threads that each gets; None: as many as torch takes by itself.

    One at a time on one core, with little memory, on a GPU, whose memory is one chapter's, and in profiles that are meant for
    GPUs. ``OMP_NUM_THREADS`` is obeyed: two chapters then need that many threads each.
    """
    if cores() < 2 or on_gpu or profile not in ("smoke", "cpu") or memory()[0] < LITTLE:
        return 1, None
    given = os.environ.get("OMP_NUM_THREADS", "")
    threads = cores() // 2 if not given else int(given) if given.isdecimal() else 0
    return (2, threads) if 0 < threads <= cores() // 2 else (1, None)


def set_threads(threads: int | None) -> None:
    """For this process's children: torch and NumPy read it when they are imported. None: nothing changes."""
    if threads:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)


def follow() -> None:
    """In a process that `run` has started: Ctrl-C reaches it as well, but it is `run` who ends it, and then it tidies up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@contextmanager
def talking() -> Iterator[dict[str, str]]:
    """How a chapter's kernel is talked to, as settings of a `KernelManager`: by files of this user, in a folder of its own.

    Ports can be reached by everybody on the machine, and a kernel warns of them; and left to itself, every kernel takes the same
    names for its files, so that two would hear each other's words.
    """
    with tempfile.TemporaryDirectory(prefix="studiolike-") as folder:
        yield {"transport": "ipc", "ip": f"{folder}/kernel"} if os.name == "posix" else {"transport": "tcp"}


# --- the processes


def family(process: BaseProcess) -> list:
    """A running process and all that it has started, as `psutil.Process`."""
    import psutil

    with suppress(psutil.Error):
        first = psutil.Process(process.pid)
        return [first, *first.children(recursive=True)]
    return []


def held(process: BaseProcess) -> float:
    """MB that a process and its children have now."""
    import psutil

    total = 0
    for member in family(process):
        with suppress(psutil.Error):
            total += member.memory_info().rss
    return total / 2**20


def stop(processes: Sequence[BaseProcess]) -> None:
    """End processes with all that they have started: first by asking, after three seconds by force."""
    import psutil

    members = [member for process in processes for member in family(process)]
    for end in ("terminate", "kill"):
        for member in members:
            with suppress(psutil.Error):
                getattr(member, end)()
        _, members = psutil.wait_procs(members, timeout=3)
    for process in processes:
        process.join()


# --- who is next


def fitting(waiting: Sequence[Job], running: Sequence[Job], free: float) -> Job | None:
    """The first of ``waiting`` that may start: anyone if nothing runs, else one that fits beside what does.

    Args:
        free: MB that there would be if nothing of ours ran.
    """
    if not running:
        return waiting[0] if waiting else None
    taken = sum(job.memory for job in running) + RESERVE
    return next((job for job in waiting if taken + job.memory <= free), None)


def run(
    jobs: Sequence[Job],
    begin: Callable[[Job], BaseProcess],
    end: Callable[[Job, BaseProcess], None],
    at_a_time: int,
    free: Callable[[], float] = lambda: memory()[1],
) -> None:
    """Run all jobs, up to ``at_a_time`` together; then the longest first, else in their order.

    Args:
        begin: starts a job and returns its process. end: is told when that has ended; what it raises stops everything.
        free: MB that are free now.
    Raises:
        What ``end`` raises, and KeyboardInterrupt: after whatever still ran has been ended.
    """
    waiting = sorted(jobs, key=lambda job: -job.seconds) if at_a_time > 1 else list(jobs)
    running: dict[Job, BaseProcess] = {}
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)) if main else None  # so that what is below ends the rest
    try:
        while waiting or running:
            for job in [job for job, process in running.items() if not process.is_alive()]:
                end(job, running.pop(job))
            while len(running) < at_a_time and waiting:
                room = 0.0
                if running:  # what runs has taken part of its memory already
                    room = free() + sum(min(held(process), job.memory) for job, process in running.items())
                if (chosen := fitting(waiting, list(running), room)) is None:
                    break
                waiting.remove(chosen)
                running[chosen] = begin(chosen)
            if running:
                time.sleep(PAUSE)
    finally:
        stop(list(running.values()))
        if main:
            signal.signal(signal.SIGTERM, before)
