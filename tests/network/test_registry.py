"""The registry of weights, and the numbers in it that are fitted to them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from ratcli.errors import WeightsError
from ratcli.network.rat import NetworkSettings
from ratcli.network.registry import ResidualKept, WeightsEntry, find_weights, list_weights
from ratcli.weightfiles import hash_file, read_registry

SMALL = NetworkSettings(
    width=4, encoder_blocks=(1, 1), decoder_blocks=(1, 1), groups=(1,), heads=2, window=4
)


def entry(file: Path, **changes: object) -> WeightsEntry:
    facts = {
        "name": "small", "task": "ct-denoise", "file": file, "sha256": hash_file(file),
        "summary": "", "data": (), "licence": "Apache-2.0", "network": asdict(SMALL),
    }  # fmt: skip
    return WeightsEntry(**{**facts, **changes})  # type: ignore[arg-type]


PLAIN = """[small]
task = "ct-denoise"
file = "small.safetensors"
sha256 = ""
summary = ""
licence = ""
data = []
network = {}
"""


def registered(folder: Path, more: str, monkeypatch: pytest.MonkeyPatch) -> WeightsEntry:
    monkeypatch.setenv("RAT_HOME", str(folder))
    (folder / "registry.toml").write_text(PLAIN + more)
    return list_weights()[0]


def test_a_damaged_registry_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAT_HOME", str(tmp_path))
    (tmp_path / "registry.toml").write_text("[ct-denoise\n")
    with pytest.raises(WeightsError, match="registry"):
        list_weights()


def test_an_older_registry_without_fitted_numbers_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = registered(tmp_path, "", monkeypatch)
    assert (entry.residual_kept, entry.mean_kept_px) == (None, 0.0)
    fitted = (entry.uncertainty_scale, entry.uncertainty_floor, entry.uncertainty_share)
    assert fitted == (1.0, 0.0, 0.0)


def test_fitted_numbers_stand_beside_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = "{least = 0.03, error = 1.3, slope = 0.03, along_px = 4}"
    entry = registered(tmp_path, f"mean_kept_px = 4\nresidual_kept = {numbers}", monkeypatch)
    assert entry.mean_kept_px == 4.0
    assert entry.residual_kept == ResidualKept(least=0.03, error=1.3, slope=0.03, along_px=4.0)


@pytest.mark.parametrize("wrong", ["3", "{least = 0.03}", "{least = 1, other = 2}"])
def test_fitted_numbers_of_another_form_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    with pytest.raises(WeightsError, match="registry"):
        registered(tmp_path, f"residual_kept = {wrong}", monkeypatch)


def test_unknown_weights_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(WeightsError) as caught:
        find_weights("ct-denoize")
    assert "ct-denoise" in caught.value.hint


def test_every_shipped_file_has_its_hash_and_a_card() -> None:
    entries = list_weights()
    assert entries
    for shipped in entries:
        assert hash_file(shipped.file) == shipped.sha256
        assert shipped.card.is_file()
    folder = entries[0].file.parent
    compact = read_registry(folder / "registry.toml")["sam-compact"]
    assert hash_file(folder / compact["file"]) == compact["sha256"]
    assert (folder / compact["file"]).with_suffix(".md").is_file()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 80e6
