from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from batch_scans import AddOne, Heard, make_scan, values_of

from ratcli.batch import cluster
from ratcli.batch.manifest import Header
from ratcli.batch.outcome import Outcome
from ratcli.batch.plan import Selection, find_jobs
from ratcli.batch.session import Batch, BatchSettings
from ratcli.errors import DeviceError, WeightsError

pytest.importorskip("distributed", reason="the extra cluster is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # those of distributed are not ours


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A scheduler with two worker processes."""
    from distributed import LocalCluster

    with (
        warnings.catch_warnings(),
        LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None
        ) as local,
    ):
        yield local.scheduler_address


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


def test_a_scheduler_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.3)
    with pytest.raises(DeviceError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run(tmp_path, "tcp://127.0.0.1:9", AddOne())
