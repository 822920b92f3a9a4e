"""`--cache`: what one command partitioned, the others take."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_scans import write_pairs, write_recipe

from ratcli.cli.app import main
from ratcli.tasks import get_task


def entries(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


@pytest.mark.usefixtures("tiny_weights")
def test_segment_restore_and_train_share_one_cache(tmp_path: Path) -> None:
    write_pairs(tmp_path / "study", patients=2)
    low, cache = tmp_path / "study" / "low", tmp_path / "cache"
    shared = ("--cache", str(cache), "--threads", "1", "--device", "cpu", "-q")
    scans = ("--task", "ct-denoise", "-o", str(tmp_path / "out"), *shared)
    assert main(["segment", str(low), *scans]) == 0
    known = entries(cache)
    assert known
    assert main(["restore", str(low), *scans, "--if-exists", "overwrite"]) == 0
    assert entries(cache) == known
    recipe = write_recipe(tmp_path / "tiny.toml")
    run = ("--config", str(recipe), "--data", str(tmp_path / "study"), "-o", str(tmp_path / "run"))
    alike = ("--set", f"partition={get_task('ct-denoise').partition}")
    assert main(["train", *run, *alike, *shared]) == 0
    assert entries(cache) == known
    assert not (tmp_path / "run" / "partitions").exists()
