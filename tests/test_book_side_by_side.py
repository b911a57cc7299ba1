"""Two chapters at a time: the longest first, only where there are cores and memory, and none outlives a failure."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import side_by_side
from project import BookError, chapters
from side_by_side import RESERVE, Job, fitting, lanes, run

GB = 1024.0


class Fake:
    """A process that ends when it is told to, and writes down who ran together."""

    pid = 2**22 + 1  # of no process

    def __init__(self, looks):
        self.looks, self.exitcode = looks, 0

    def is_alive(self):
        self.looks -= 1
        return self.looks >= 0

    def join(self):
        pass


def told(jobs, at_a_time, free, looks, failing=""):
    """What began and ended, in order: ``+name`` and ``-name``."""
    said = []

    def begin(job):
        said.append(f"+{job.name}")
        return Fake(looks[job.name])

    def end(job, process):
        said.append(f"-{job.name}")
        if job.name == failing:
            raise BookError(job.name)

    try:
        run(jobs, begin, end, at_a_time, lambda: free)
    except BookError as error:
        said.append(f"!{error}")
    return said


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(side_by_side, "PAUSE", 0.0)


JOBS = [Job("short", 10, 1 * GB), Job("long", 90, 4 * GB), Job("middle", 50, 3 * GB)]
LOOKS = {"short": 2, "long": 9, "middle": 4}


def test_two_run_at_a_time_the_longest_first_and_one_at_a_time_in_the_books_order():
    assert told(JOBS, 2, 20 * GB, LOOKS) == ["+long", "+middle", "-middle", "+short", "-short", "-long"]
    assert told(JOBS, 1, 20 * GB, LOOKS) == ["+short", "-short", "+long", "-long", "+middle", "-middle"]


def test_never_two_that_need_more_memory_together_than_there_is_and_a_smaller_one_goes_first():
    enough_for_short = 5 * GB + RESERVE + 1
    assert told(JOBS, 2, enough_for_short, LOOKS) == ["+long", "+short", "-short", "-long", "+middle", "-middle"]
    assert told(JOBS, 2, 5 * GB, LOOKS) == ["+long", "-long", "+middle", "-middle", "+short", "-short"]
    assert fitting(JOBS, [], 0.0) is JOBS[0]  # alone, it runs as it always did
    assert fitting(JOBS[:1], JOBS[1:2], enough_for_short - 2) is None


def test_the_first_failure_starts_no_other():
    assert told(JOBS, 2, 20 * GB, LOOKS, failing="middle") == ["+long", "+middle", "-middle", "!middle"]
    assert told(JOBS, 1, 20 * GB, LOOKS, failing="short") == ["+short", "-short", "!short"]


def machine(monkeypatch, cores, total, given=None):
    monkeypatch.setattr(side_by_side, "cores", lambda: cores)
    monkeypatch.setattr(side_by_side, "memory", lambda: (total, total))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)


@pytest.mark.parametrize(
    "cores, total, given, expected",
    [
        (2, 24 * GB, None, (2, 1)),
        (2, 24 * GB, "1", (2, 1)),
        (2, 24 * GB, "2", (1, None)),  # who asks for two threads gets them
        (2, 24 * GB, "many", (1, None)),
        (1, 24 * GB, None, (1, None)),
        (2, 8 * GB, None, (1, None)),
        (8, 24 * GB, None, (2, 4)),
    ],
)
def test_threads_follow_from_cores_and_memory_and_from_what_was_asked_for(monkeypatch, cores, total, given, expected):
    machine(monkeypatch, cores, total, given)
    assert lanes(False, "cpu") == lanes(False, "smoke") == expected
    assert lanes(True, "cpu") == lanes(False, "gpu") == (1, None)


def test_every_chapter_has_an_expectation_and_an_unknown_one_the_largest():
    assert {path.stem[:4] for path in chapters()} == set(side_by_side.USUAL)
    unknown = side_by_side.usual("ch99-new")
    assert unknown.memory == max(memory for _, memory in side_by_side.USUAL.values()) and unknown.seconds > 0


def test_the_machine_tells_its_cores_and_memory():
    total, free = side_by_side.memory()
    assert 1 <= side_by_side.cores() <= os.cpu_count() and 0 < free <= total
    assert 5 < side_by_side.held(multiprocessing.current_process()) < total


def sleeper(path):
    """A process with a child of its own, as a chapter has its kernel."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    Path(path).with_suffix(".half").write_text(str(child.pid))
    os.replace(Path(path).with_suffix(".half"), path)
    child.wait()


SCRIPT = """
import multiprocessing, sys
sys.path[:0] = {paths!r}
import side_by_side, test_book_side_by_side as here
def begin(job):
    process = multiprocessing.get_context("spawn").Process(target=here.sleeper, args=(job.name,))
    process.start()
    return process
if __name__ == "__main__":
    jobs = [side_by_side.Job(f"{folder}/" + name, 1, 1) for name in "ab"]
    side_by_side.run(jobs, begin, lambda job, process: None, 2, lambda: 1e6)
"""


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_who_is_interrupted_ends_both_and_their_children(tmp_path, sign):
    import psutil

    tools = Path(side_by_side.__file__).parent
    (tmp_path / "run.py").write_text(
        SCRIPT.format(paths=[str(tools), str(Path(__file__).parent)], folder=tmp_path).replace('f"', '"')
    )
    started = subprocess.Popen([sys.executable, str(tmp_path / "run.py")], stderr=subprocess.DEVNULL)
    deadline = time.time() + 60
    while not all((tmp_path / name).exists() for name in "ab"):
        assert time.time() < deadline and started.poll() is None
        time.sleep(0.05)
    children = [psutil.Process(int((tmp_path / name).read_text())) for name in "ab"]
    started.send_signal(sign)
    assert started.wait(30) != 0
    assert not psutil.wait_procs(children, timeout=5)[1]
