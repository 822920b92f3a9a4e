"""`rat weights import` of networks, and refusing what is none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ratcli.cli.app import main
from ratcli.network.checkpoint import load_network
from ratcli.network.registry import find_weights
from ratcli.partition.sam_weights import CHECKPOINTS
from ratcli.weightfiles import user_folder, weights_folders

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for RAT_HOME, not made yet."""
    monkeypatch.setenv("RAT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def golden(name: str = "rat_gray") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the authors' parameters under their names, and all arrays."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    return {k[6:]: v for k, v in arrays.items() if k.startswith("state/")}, arrays


def save(folder: Path, content: object) -> Path:
    path = folder / "theirs.pth"
    torch.save(content, path)
    return path


def import_file(*words: object, task: str = "ct-denoise", name: str = "theirs") -> int:
    return main(["weights", "import", *map(str, words), "--task", task, "--name", name])


@pytest.mark.parametrize(
    ("state", "task", "scale"), [("rat_gray", "ct-denoise", 1), ("rat_rgb_x4", "pathology-sr", 4)]
)
def test_an_imported_network_reproduces_the_published_output(
    tmp_path: Path, home: Path, state: str, task: str, scale: int
) -> None:
    theirs, arrays = golden(state)
    assert import_file(save(tmp_path, {"params": theirs}), task=task) == 0
    entry = find_weights("theirs")
    assert entry.file.parent == home
    assert (entry.task, entry.network["scale"]) == (task, scale)
    network = load_network(entry, torch.device("cpu"))
    with torch.inference_mode():
        output = network(arrays["input"], arrays["labels"])
    assert torch.allclose(output, arrays["output"], atol=1e-4, rtol=0)


def test_the_shape_of_the_network_is_read_off_its_parameters(tmp_path: Path) -> None:
    assert import_file(save(tmp_path, golden()[0])) == 0
    network = find_weights("theirs").network
    assert network["width"] == 8
    assert network["encoder_blocks"] == [1, 2]
    assert network["decoder_blocks"] == [2, 1]
    assert network["groups"] == [3, 3]
    assert network["mlp_ratio"] == 2.0


def test_heads_and_window_can_be_told(tmp_path: Path) -> None:
    assert import_file(save(tmp_path, golden()[0]), "--heads", 4, "--window", 2) == 0
    network = find_weights("theirs").network
    assert (network["heads"], network["window"]) == (4, 2)


def test_safetensors_of_rat_are_imported_too(tmp_path: Path, tiny_folder: Path) -> None:
    assert import_file(tiny_folder / "ct-denoise.safetensors", "--heads", 2) == 0
    assert find_weights("theirs").network["encoder_blocks"] == [1, 1]


def test_an_imported_network_is_listed_and_verified(tmp_path: Path, capsys: Output) -> None:
    import_file(save(tmp_path, golden()[0]))
    capsys.readouterr()
    assert main(["weights", "list"]) == 0
    assert "theirs" in capsys.readouterr().out
    assert main(["weights", "verify", "theirs"]) == 0


def test_a_second_import_keeps_the_first(tmp_path: Path) -> None:
    path = save(tmp_path, golden()[0])
    assert import_file(path) == 0
    assert import_file(path, name="again") == 0
    assert find_weights("theirs").sha256 == find_weights("again").sha256


def test_a_name_that_is_taken_is_refused(tmp_path: Path, capsys: Output) -> None:
    path = save(tmp_path, golden()[0])
    assert import_file(path) == 0
    assert import_file(path) == 2
    assert "named 'theirs' already exist" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../theirs", "a.b", "", "-", "sam-vit-b", "a]\nb"])
def test_a_name_unfit_for_a_file_is_refused(tmp_path: Path, home: Path, name: str) -> None:
    assert import_file(save(tmp_path, golden()[0]), name=name) == 2
    assert not home.exists()


class Hostile:
    """Makes a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_file_is_not_run(tmp_path: Path, home: Path) -> None:
    state: dict[str, object] = {**golden()[0], "more": Hostile(tmp_path / "trap")}
    assert import_file(save(tmp_path, state)) == 7
    assert not (tmp_path / "trap").exists()
    assert not home.exists()


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, home: Path, keep: float) -> None:
    path = save(tmp_path, golden()[0])
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    assert import_file(path) == 7
    assert not home.exists()


def damaged(kind: str) -> object:
    """Return what is no network, in one of several ways."""
    state = golden()[0]
    return {
        "other": {"weight": torch.zeros(3, 3)},
        "list": [1, 2],
        "keys": {1: torch.zeros(3)},
        "extra": {**state, "more": torch.zeros(1)},
        "lacking": {k: v for k, v in state.items() if k != "ending.bias"},
        "flat": {**state, "intro.weight": torch.zeros(8)},
        "huge": {k: v.flatten()[:1].expand(v.numel() << 20) for k, v in state.items()},
        "sparse": {**state, "ending.bias": state["ending.bias"].to_sparse()},
        "empty": {**state, "intro.weight": torch.zeros(0, 1, 3, 3)},
        "infinite": {**state, "ending.bias": torch.tensor([float("inf")])},
        "integer": {**state, "ending.bias": torch.tensor([1])},
        "level": {**state, "encoders.2.0.conv1.weight": torch.zeros(1)},
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        *("other", "list", "keys", "extra", "lacking", "flat", "huge", "sparse"),
        *("empty", "infinite", "integer", "level"),
    ],
)
def test_what_is_no_such_network_is_refused(
    tmp_path: Path, home: Path, capsys: Output, kind: str
) -> None:
    assert import_file(save(tmp_path, damaged(kind))) == 7
    assert capsys.readouterr().err.startswith("rat: ")
    assert not home.exists()


def test_a_network_for_other_channels_is_refused(tmp_path: Path, home: Path) -> None:
    assert import_file(save(tmp_path, golden()[0]), task="pathology-sr") == 7
    assert not home.exists()


def test_heads_that_do_not_divide_the_tokens_are_refused(tmp_path: Path, home: Path) -> None:
    assert import_file(save(tmp_path, golden()[0]), "--heads", 5) == 7
    assert not home.exists()


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert import_file(tmp_path / "none.pth") == 3


def test_a_folder_that_cannot_be_made_is_an_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("RAT_HOME", str(tmp_path / "file" / "home"))
    assert import_file(save(tmp_path, golden()[0])) == 5


def test_a_damaged_registry_keeps_its_place(tmp_path: Path, home: Path) -> None:
    home.mkdir()
    (home / "registry.toml").write_text("[broken")
    assert import_file(save(tmp_path, golden()[0])) == 7
    assert [path.name for path in home.iterdir()] == ["registry.toml"]


def test_a_task_alone_is_a_usage_error(tmp_path: Path, capsys: Output) -> None:
    path = save(tmp_path, golden()[0])
    assert main(["weights", "import", str(path), "--task", "ct-denoise"]) == 2
    assert "--name" in capsys.readouterr().err


def test_a_network_without_a_task_gets_a_hint(tmp_path: Path, capsys: Output) -> None:
    assert main(["weights", "import", str(save(tmp_path, golden()[0]))]) == 7
    assert "add --task and --name" in capsys.readouterr().err


def test_weights_of_the_user_are_searched_without_rat_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAT_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert import_file(save(tmp_path, golden()[0])) == 0
    assert find_weights("theirs").file.is_relative_to(tmp_path)
    assert weights_folders()[0] == user_folder()


def test_an_account_without_a_home_still_has_the_shipped_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RAT_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert [folder.name for folder in weights_folders()] == ["weights"]


def test_a_sam_checkpoint_is_listed_as_installed(home: Path, capsys: Output) -> None:
    home.mkdir()
    (home / CHECKPOINTS["sam-vit-b"].file).write_bytes(b"x" * 200_000)
    assert main(["weights", "list", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    installed = {each["name"]: each["is_expected"] for each in told}
    assert installed["sam-vit-b"]
    assert not installed["sam-vit-h"]
