"""`--cache`: what one command has partitioned, no other partitions again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ratcli.cli.app import main
from ratcli.errors import WeightsError
from ratcli.network.settings import EngineSettings
from ratcli.partition import superpixel
from ratcli.pipeline import RestoreSettings, model
from ratcli.pipeline.model import load_partitioner
from ratcli.tasks import get_task

SERIES = Path(__file__).resolve().parents[2] / "examples" / "ct_series"

pytestmark = pytest.mark.usefixtures("tiny_weights")


def run(command: str, *words: object) -> int:
    return main([command, str(SERIES), *map(str, words), "--threads", "1"])


def entries(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def pixels(folder: Path) -> list[bytes]:
    import pydicom

    return [pydicom.dcmread(path).PixelData for path in sorted(folder.rglob("*.dcm"))]


def settings(partition: str, engine: EngineSettings | None = None) -> RestoreSettings:
    engine = engine or EngineSettings()
    return RestoreSettings(task=get_task("ct-denoise"), partition=partition, engine=engine)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache that `rat segment` has filled, by the task's partition."""
    folder = tmp_path / "cache"
    assert run("segment", "-t", "ct-denoise", "-o", tmp_path / "r.dcm", "--cache", folder) == 0
    return folder


def test_restore_takes_the_partitions_that_segment_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed(*_: object) -> None:
        raise AssertionError("a partition was computed again")

    before = entries(cache)
    assert len(before) == len(list(SERIES.iterdir()))
    monkeypatch.setattr(superpixel.Superpixel, "partition", computed)
    assert run("restore", "-t", "ct-denoise", "-o", tmp_path / "out", "--cache", cache) == 0
    assert entries(cache) == before


def test_a_cache_does_not_change_what_is_restored(tmp_path: Path, cache: Path) -> None:
    words = ("-t", "ct-denoise", "-o")
    assert run("restore", *words, tmp_path / "with", "--cache", cache) == 0
    assert run("restore", *words, tmp_path / "without") == 0
    made = pixels(tmp_path / "with")
    assert made
    assert made == pixels(tmp_path / "without")


def test_a_cache_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    words = ("-t", "ct-denoise", "-o", tmp_path / "out", "--cache", tmp_path / "file" / "cache")
    assert run("restore", *words) == 5
    assert not (tmp_path / "out").exists() or not pixels(tmp_path / "out")


def test_a_sam_runs_on_the_device_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(model, "get_partitioner", lambda name, **given: asked.update(given))
    load_partitioner(settings("sam-vit-b", EngineSettings(device="cpu")))
    assert asked == {"device": "cpu"}


def test_a_sam_that_is_not_installed_is_told() -> None:
    with pytest.raises(WeightsError, match="sam-vit-b"):
        load_partitioner(settings("sam-vit-b"))


def test_superpixels_are_given_no_device() -> None:
    partitioner = load_partitioner(settings("superpixel"))
    plane = np.zeros((1, 16, 16), np.float32)
    assert partitioner.partition(plane).labels.shape == (16, 16)
