from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from batch_scans import AddOne, Heard, make_scan, values_of

from ratcli.batch import cluster
from ratcli.batch.manifest import Header
from ratcli.batch.outcome import Outcome
from ratcli.batch.plan import Selection, find_jobs
from ratcli.batch.run import RunSettings
from ratcli.batch.session import Batch, BatchSettings
from ratcli.errors import DeviceError, WeightsError

pytest.importorskip("distributed", reason="the extra cluster is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # those of distributed are not ours


def worker(*words: str) -> subprocess.Popen[bytes]:
    """Start a worker process. Dask's own supervisor, the nanny, is left out.

    It does not start a worker again that is killed while it reports that it has started.
    """
    command = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-nanny", "--no-dashboard"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([*command, *words], env=environment, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler with two worker processes, each of which is replaced when it ends."""
    from distributed import LocalCluster

    members: list[subprocess.Popen[bytes]] = []
    ending = threading.Event()

    def keep_one() -> None:
        folder = str(tmp_path_factory.mktemp("worker"))
        while not ending.is_set():
            with worker(
                local.scheduler_address, "--nthreads", "2", "--local-directory", folder
            ) as it:
                members.append(it)

    with (
        warnings.catch_warnings(),
        LocalCluster(n_workers=0, processes=True, dashboard_address=":0") as local,
    ):
        threads = [threading.Thread(target=keep_one) for _ in range(2)]
        for thread in threads:
            thread.start()
        yield local.scheduler_address
        ending.set()
        while any(thread.is_alive() for thread in threads):
            for member in members:
                member.kill()
            time.sleep(0.05)


def run(tmp_path: Path, address: str, work: AddOne, scans: int = 4) -> list[Outcome]:
    for number in range(scans):
        make_scan(tmp_path / "in" / f"{number:02}.nii", seed=number)
    plan = find_jobs([tmp_path / "in"], Selection("_one", output=tmp_path / "out"))
    settings = BatchSettings(scheduler=address, manifest=tmp_path / "run.json", resume=True)
    return Batch(plan, Header(), settings).run(work, Heard())


def test_a_worker_that_is_lost_costs_no_scan(tmp_path: Path, address: str) -> None:
    outcomes = run(tmp_path, address, AddOne(kills_once=tmp_path / "flag"))
    assert (tmp_path / "flag").exists()
    assert {outcome.name: outcome.status for outcome in outcomes} == {
        f"{number:02}.nii": "done" for number in range(4)
    }
    for number in range(4):
        name = f"{number:02}.nii"
        expected = values_of(tmp_path / "in" / name) + 1
        np.testing.assert_array_equal(values_of(tmp_path / "out" / name), expected)
    assert list((tmp_path / "out").glob(".*")) == []


def test_a_scan_that_ends_every_worker_fails_alone(tmp_path: Path, address: str) -> None:
    outcomes = run(tmp_path, address, AddOne(kills_on="01"), scans=2)
    told = {outcome.name: (outcome.status, outcome.exit_code) for outcome in outcomes}
    assert told == {"00.nii": ("done", 0), "01.nii": ("failed", 6)}


def test_one_broken_scan_stops_no_other(tmp_path: Path, address: str) -> None:
    outcomes = run(tmp_path, address, AddOne(refuses="01"))
    assert sorted((outcome.name, outcome.status) for outcome in outcomes) == [
        ("00.nii", "done"),
        ("01.nii", "failed"),
        ("02.nii", "done"),
        ("03.nii", "done"),
    ]


def test_each_worker_loads_the_work_once(tmp_path: Path, address: str) -> None:
    run(tmp_path, address, AddOne(journal=tmp_path / "journal"), scans=6)
    processes = (tmp_path / "journal").read_text().split()
    assert len(processes) == len(set(processes)) <= 2


def test_a_batch_on_a_cluster_can_be_resumed(tmp_path: Path, address: str) -> None:
    run(tmp_path, address, AddOne())
    (tmp_path / "out" / "02.nii").unlink()
    outcomes = run(tmp_path, address, AddOne())
    assert {o.name: o.status for o in outcomes if o.status == "done"} == {"02.nii": "done"}


def test_missing_weights_end_the_run(tmp_path: Path, address: str) -> None:
    with pytest.raises(WeightsError):
        run(tmp_path, address, AddOne(loads=False))


def test_inputs_may_be_relative_to_a_folder_that_no_worker_is_in(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_scan(tmp_path / "in" / "0.nii")
    monkeypatch.chdir(tmp_path)
    plan = find_jobs([Path("in")], Selection("_one", output=tmp_path / "out"))
    batch = Batch(plan, Header(), BatchSettings(scheduler=address))
    assert [outcome.status for outcome in batch.run(AddOne(), Heard())] == ["done"]


def test_a_scan_that_a_worker_does_not_see_is_said(tmp_path: Path) -> None:
    scan = make_scan(tmp_path / "in" / "0.nii")
    (job,) = find_jobs([scan], Selection("_one", output=tmp_path / "out")).jobs
    scan.unlink()
    outcome = cluster.work_on(job, AddOne(), RunSettings())
    assert (outcome.status, outcome.exit_code) == ("failed", 3)
    assert "a worker of the cluster does not see 0.nii" in outcome.error


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_scheduler_that_does_not_answer_is_said_in_time(tmp_path: Path, is_silent: bool) -> None:
    make_scan(tmp_path / "in" / "0.nii")
    plan = find_jobs([tmp_path / "in"], Selection("_one", output=tmp_path / "out"))
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        if is_silent:
            port.listen()
        address = f"tcp://127.0.0.1:{port.getsockname()[1]}"
        settings = BatchSettings(scheduler=address, scheduler_timeout=0.5)
        with pytest.raises(DeviceError, match=rf"no Dask scheduler answers at {address} within"):
            Batch(plan, Header(), settings).run(AddOne(), Heard())


@pytest.mark.parametrize("greeting", [b"HTTP/1.0 400 Bad Request\r\n\r\n", b"SSH-2.0-sshd\r\n"])
def test_what_is_no_scheduler_is_said(tmp_path: Path, greeting: bytes) -> None:
    make_scan(tmp_path / "in" / "0.nii")
    plan = find_jobs([tmp_path / "in"], Selection("_one", output=tmp_path / "out"))

    def greet(port: socket.socket) -> None:
        peer, _ = port.accept()
        peer.sendall(greeting)
        peer.recv(1)
        peer.close()

    with socket.create_server(("127.0.0.1", 0)) as port, ThreadPoolExecutor(1) as thread:
        thread.submit(greet, port)
        address = f"tcp://127.0.0.1:{port.getsockname()[1]}"
        with pytest.raises(DeviceError, match=f"what answers at {address} is no Dask scheduler"):
            Batch(plan, Header(), BatchSettings(scheduler=address)).run(AddOne(), Heard())


def test_a_cluster_that_has_lost_all_its_workers_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import LocalCluster

    make_scan(tmp_path / "in" / "0.nii")
    plan = find_jobs([tmp_path / "in"], Selection("_one", output=tmp_path / "out"))
    said = []

    def warn(text: str) -> None:
        said.append(text)
        second = stack.enter_context(worker(local.scheduler_address, *place))
        stack.callback(second.kill)

    with (
        LocalCluster(n_workers=0, processes=True, dashboard_address=":0") as local,
        ExitStack() as stack,
    ):
        place = ("--local-directory", str(tmp_path))
        first = stack.enter_context(worker(local.scheduler_address, *place))
        local.wait_for_workers(1)
        monkeypatch.setattr(cluster, "NO_WORKER_S", 0.2)
        monkeypatch.setattr(cluster.LOG, "warning", warn)
        batch = Batch(plan, Header(), BatchSettings(scheduler=local.scheduler_address))
        outcomes = batch.run(AddOne(kills_once=tmp_path / "flag"), Heard())
        assert first.poll() is not None
    assert said == ["the cluster has no workers; the scans wait for the next one"]
    assert [outcome.status for outcome in outcomes] == ["done"]


@dataclass
class Killing(Heard):
    """Kills a process at the first outcome."""

    victim: subprocess.Popen[bytes] | None = None

    def finished(self, outcome: Outcome) -> None:
        super().finished(outcome)
        if self.victim is not None:
            self.victim.kill()


def test_a_batch_whose_scheduler_is_lost_can_be_resumed(tmp_path: Path, address: str) -> None:
    for number in range(3):
        make_scan(tmp_path / "in" / f"{number}.nii", seed=number)
    plan = find_jobs([tmp_path / "in"], Selection("_one", output=tmp_path / "out"))
    place = tmp_path / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    more = ["--scheduler-file", str(place), "--no-dashboard"]

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", *words, *more]
        part = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, cwd=tmp_path)
        stack.enter_context(part)
        stack.callback(part.kill)
        return part

    with ExitStack() as stack:
        scheduler = start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0")
        while not place.exists():
            time.sleep(0.05)
        start("distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny")
        own = json.loads(place.read_text())["address"]
        settings = BatchSettings(
            scheduler=own, scheduler_timeout=2.0, manifest=tmp_path / "run.json", resume=True
        )
        heard = Killing(victim=scheduler)
        with pytest.raises(DeviceError, match="the Dask scheduler was lost"):
            Batch(plan, Header(), settings).run(AddOne(seconds=0.5), heard)
    again = Batch(plan, Header(), replace(settings, scheduler=address))
    assert len(again.jobs) == 2
    again.run(AddOne(), Heard())
    assert len(list((tmp_path / "out").glob("*.nii"))) == 3
