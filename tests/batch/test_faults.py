"""What goes wrong in the middle of a batch, and what is left of it."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from batch_scans import AddOne, Heard, make_scan, values_of

from ratcli.batch.interrupt import Interrupt
from ratcli.batch.manifest import Header
from ratcli.batch.outcome import Outcome
from ratcli.batch.plan import Selection, find_jobs
from ratcli.batch.session import Batch, BatchSettings
from ratcli.errors import OutputError
from ratcli.formats import open_scan

KILLS = 30
SCANS = 50

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9 on Windows"),
    # The forked processes use no library that minds the threads that torch may have.
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
FORK = multiprocessing.get_context("fork")


def run(root: Path, work: AddOne, settings: BatchSettings) -> list[Outcome]:
    plan = find_jobs([root / "in"], Selection("_one", output=root / "out"))
    return Batch(plan, Header({"task": "one"}), settings).run(work, Heard())


def resume(root: Path, processes: int = 1, seconds: float = 0.0) -> list[Outcome]:
    settings = BatchSettings(manifest=root / "run.json", resume=True, processes=processes)
    return run(root, AddOne(seconds=seconds), settings)


def begin(root: Path, processes: int = 1) -> multiprocessing.process.BaseProcess:
    """Start a batch in a process that is forked with everything imported."""
    process = FORK.Process(target=resume, args=(root, processes, 0.002))
    process.start()
    return process


def make_inputs(root: Path, count: int = SCANS) -> None:
    for number in range(count):
        make_scan(root / "in" / f"{number:02}.nii", seed=number)


def assert_whole(root: Path) -> int:
    """Check every output that has a final name; return how many there are."""
    outputs = [path for path in (root / "out").glob("*") if not path.name.startswith(".")]
    for path in outputs:
        np.testing.assert_array_equal(values_of(path), values_of(root / "in" / path.name) + 1)
    return len(outputs)


def hidden(root: Path) -> list[str]:
    return [path.name for path in root.rglob(".*")]


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "out").iterdir()}


def test_a_batch_that_is_killed_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    for root in (tmp_path, undisturbed):
        make_inputs(root)
    resume(undisturbed)
    moments = random.Random(0)
    struck = 0
    while struck < KILLS:
        process = begin(tmp_path)
        time.sleep(moments.uniform(0.02, 0.6))
        struck += process.is_alive()
        process.kill()
        process.join()
        if assert_whole(tmp_path) == SCANS:
            shutil.rmtree(tmp_path / "out")
            (tmp_path / "run.json").unlink()
    resume(tmp_path)
    assert contents(tmp_path) == contents(undisturbed)
    assert hidden(tmp_path) == []
    files = json.loads((tmp_path / "run.json").read_text())["files"]
    assert [file["status"] for file in files] == ["done"] * SCANS


def is_running(pid: int) -> bool:
    """Whether a process works; one that has ended may wait as a zombie for its new parent."""
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def sleep_in_two_processes(root: Path) -> None:
    """Run a batch whose jobs take minutes; its processes note their numbers."""
    run(root, AddOne(seconds=60, journal=root / "pids"), BatchSettings(processes=2))


def wait_until(is_so: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    """They end in the middle of a job, and not when they want to tell of it."""
    make_inputs(tmp_path, 2)
    journal, pids = tmp_path / "pids", []
    process = FORK.Process(target=sleep_in_two_processes, args=(tmp_path,))
    process.start()
    try:
        assert wait_until(lambda: journal.exists() and len(journal.read_text().split()) == 2, 60)
        pids = [int(pid) for pid in journal.read_text().split()]
        assert all(map(is_running, pids))
        process.kill()
        process.join()
        assert wait_until(lambda: not any(map(is_running, pids)), 20)
    finally:
        process.kill()
        for pid in filter(is_running, pids):
            os.kill(pid, signal.SIGKILL)


def test_a_batch_in_processes_that_is_killed_can_be_resumed(tmp_path: Path) -> None:
    make_inputs(tmp_path, 12)
    process = begin(tmp_path, processes=2)
    deadline = time.monotonic() + 60
    while not assert_whole(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.join()
    time.sleep(0.2)
    resume(tmp_path)
    assert assert_whole(tmp_path) == 12
    assert hidden(tmp_path) == []


def skip_existing(root: Path) -> None:
    outcomes = run(root, AddOne(seconds=0.002), BatchSettings(if_exists="skip"))
    sys.exit(sum(outcome.status == "failed" for outcome in outcomes))


def test_an_output_that_another_process_writes_is_waited_for(tmp_path: Path) -> None:
    make_inputs(tmp_path, 1)
    folder = tmp_path / "out"
    slow = FORK.Process(target=run, args=(tmp_path, AddOne(seconds=1.0), BatchSettings()))
    slow.start()
    deadline = time.monotonic() + 60
    while not hidden(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    outcomes = run(tmp_path, AddOne(), BatchSettings(if_exists="skip"))
    assert len([path for path in folder.iterdir() if not path.name.startswith(".")]) == 1
    slow.join()
    assert [outcome.status for outcome in outcomes] == ["skipped"]


def test_two_processes_share_one_output_folder(tmp_path: Path) -> None:
    make_inputs(tmp_path, 12)
    both = [FORK.Process(target=skip_existing, args=(tmp_path,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert assert_whole(tmp_path) == 12
    assert hidden(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 kB."""
    folder = tmp_path / "out"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_leaves_whole_outputs(tmp_path: Path, small_disk: Path) -> None:
    for number in range(8):
        make_scan(tmp_path / "in" / f"{number:02}.nii", seed=number, planes=100)
    outcomes = run(tmp_path, AddOne(), BatchSettings())
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert failed
    assert {outcome.exit_code for outcome in failed} == {5}
    assert "no space left" in failed[0].error
    assert assert_whole(tmp_path) == len(outcomes) - len(failed)
    assert hidden(tmp_path) == []


def test_a_read_only_folder_is_told(tmp_path: Path, small_disk: Path) -> None:
    make_inputs(tmp_path, 2)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    outcomes = run(tmp_path, AddOne(), BatchSettings())
    assert [outcome.exit_code for outcome in outcomes] == [5, 5]
    assert "read-only" in outcomes[0].error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_whole_outputs_and_gives_130(
    number: signal.Signals, tmp_path: Path, tiny_weights: Path
) -> None:
    for scan in range(40):
        make_scan(tmp_path / "in" / f"{scan:02}.nii", seed=scan, planes=40)
    words = ["restore", str(tmp_path / "in"), "-t", "ct-denoise", "--unit", "HU", "--threads", "1"]
    kept = ["-o", str(tmp_path / "out"), "--manifest", str(tmp_path / "run.json")]
    process = subprocess.Popen(
        [sys.executable, "-m", "ratcli.cli.app", *words, *kept],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = ""
    for line in process.stderr:
        told += line
        if "->" in line:  # the first output is there; warnings come before it
            break
    process.send_signal(number)
    told += process.stderr.read()
    assert process.wait(60) == 130
    process.stderr.close()
    assert told.endswith("rat: interrupted.\n")
    assert hidden(tmp_path) == []
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["finished"] is None
    done = {file["output"] for file in content["files"] if file["status"] == "done"}
    assert done == {f"out/{path.name}" for path in (tmp_path / "out").iterdir()}
    assert 0 < len(done) < 40


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_to_all_processes_leaves_no_claim_and_no_traceback(
    number: str, tmp_path: Path
) -> None:
    for scan in range(20):
        make_scan(tmp_path / "in" / f"{scan:02}.nii", seed=scan, planes=40)
    words = ["segment", str(tmp_path / "in"), "--unit", "HU", "--partition", "superpixel"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ratcli", *words, "--jobs", "2", "-o", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    os.killpg(process.pid, getattr(signal, number))
    told = first + process.stderr.read()
    assert process.wait(60) == 130
    process.stderr.close()
    assert "Traceback" not in told
    assert told.endswith("rat: interrupted.\n")
    assert hidden(tmp_path) == []


HANGING = """
import hashlib
from ratcli.batch.interrupt import Interrupt
with Interrupt():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes in which Python hears no signal
"""


def test_the_second_signal_ends_a_library_that_does_not_return() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)  # two signals at once may count as one
    assert process.wait(60) == 130
    process.communicate()


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            interrupt.check()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_full_folder_of_temporary_files_is_said(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).integers(-500, 500, (128, 128, 200)).astype(np.int16)
    scan = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), scan)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with pytest.raises(OutputError, match="do not fit into the folder of temporary files"):
        open_scan(scan).read(0)
