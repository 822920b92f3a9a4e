"""Networks from files, and files that must be refused."""

from __future__ import annotations

import os
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from ratcli.errors import WeightsError
from ratcli.network.checkpoint import (
    build_network,
    load_network,
    read_state,
    save_state,
    settings_from,
)
from ratcli.network.rat import RAT, NetworkSettings
from ratcli.network.registry import WeightsEntry
from ratcli.weightfiles import hash_file

CPU = torch.device("cpu")


GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "rat_gray.npz"


SMALL = NetworkSettings(
    width=4, encoder_blocks=(1, 1), decoder_blocks=(1, 1), groups=(1,), heads=2, window=4
)


def entry(file: Path, **changes: object) -> WeightsEntry:
    facts = {
        "name": "small", "task": "ct-denoise", "file": file, "sha256": hash_file(file),
        "summary": "", "data": (), "licence": "Apache-2.0", "network": asdict(SMALL),
    }  # fmt: skip
    return WeightsEntry(**{**facts, **changes})  # type: ignore[arg-type]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_state(path, RAT(SMALL).state_dict(), torch.float32)
    return path


class _Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(Path(os.environ["RAT_TEST_TARGET"])),)


def test_parameters_come_back_from_a_file(small: Path) -> None:
    network = load_network(entry(small), CPU)
    for name, value in read_state(small).items():
        assert torch.equal(network.state_dict()[name], value)


def test_a_changed_file_is_refused(small: Path) -> None:
    before = entry(small)
    small.write_bytes(small.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match="SHA-256"):
        load_network(before, CPU)


def test_a_truncated_file_is_refused(small: Path) -> None:
    small.write_bytes(small.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="damaged"):
        load_network(entry(small), CPU)


def test_another_architecture_is_refused(small: Path) -> None:
    other = {**asdict(SMALL), "width": 8}
    with pytest.raises(WeightsError, match="architecture"):
        load_network(entry(small, network=other), CPU)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(WeightsError, match="depth"):
        settings_from({"depth": 3})


def test_a_fault_in_the_registry_names_the_file_and_the_table(small: Path) -> None:
    sentence = r"registry.toml, \[\S+\.network\]: width is 0, expected a whole number >= 1"
    with pytest.raises(WeightsError, match=sentence):
        load_network(entry(small, network={"width": 0}), CPU)


def test_the_authors_file_loads_through_the_key_map(tmp_path: Path) -> None:
    with np.load(GOLDEN) as golden:
        state = {
            key.removeprefix("state/"): torch.from_numpy(golden[key])
            for key in golden.files
            if key.startswith("state/")
        }
    path = tmp_path / "published.pth"
    torch.save({"params": {f"module.{name}": value for name, value in state.items()}}, path)
    settings = NetworkSettings(width=8, encoder_blocks=(1, 2), decoder_blocks=(2, 1), groups=(3, 3))
    assert isinstance(build_network(settings, read_state(path), CPU), RAT)


def test_a_pickle_with_code_is_refused_and_its_code_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "made by the payload"
    monkeypatch.setenv("RAT_TEST_TARGET", str(target))
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"params": _Payload()}))
    with pytest.raises(WeightsError, match="refused"):
        read_state(path)
    assert not target.exists()


def test_tensors_larger_than_their_file_are_refused_before_they_are_copied(tmp_path: Path) -> None:
    path = tmp_path / "small.pth"
    gate = torch.zeros(1000).as_strided((30_000, 1000), (0, 1))
    torch.save({"middle_blks.0.layers.0.lambda_ra": gate}, path)
    with pytest.raises(WeightsError, match="its tensors claim 120000000"):
        read_state(path)
