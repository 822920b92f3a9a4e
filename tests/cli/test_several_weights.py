"""`rat restore` with `--weights` given twice: the mean of two networks, and their spread."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from test_cli_restore import restore
from tiny_weights import make_weights

from ratcli.formats import open_scan
from ratcli.formats.history import made_by

Output = pytest.CaptureFixture[str]
TWO = ("--weights", "ct-denoise", "--weights", "other")


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A noisy TIFF, beside two networks."""
    import torch
    from safetensors.torch import load_file

    from ratcli.network.checkpoint import save_state
    from ratcli.weightfiles import hash_file

    home = tmp_path / "home"
    home.mkdir()
    make_weights(home)
    monkeypatch.setenv("RAT_HOME", str(home))
    state = load_file(home / "ct-denoise.safetensors")
    torch.manual_seed(1)
    moved = {name: value + 0.02 * torch.randn_like(value) for name, value in state.items()}
    save_state(home / "other.safetensors", moved, torch.float32)
    table = (home / "registry.toml").read_text().split("[pet-synthesis]")[0]
    table = table.replace("ct-denoise]", "other]").replace("[ct-denoise.", "[other.")
    table = table.replace("ct-denoise.safetensors", "other.safetensors")
    digest = hash_file(home / "other.safetensors")
    table = re.sub('sha256 = "[0-9a-f]+"', f'sha256 = "{digest}"', table)
    with (home / "registry.toml").open("a") as file:
        file.write("\n" + table)
    values = np.random.default_rng(0).normal(0, 100, (32, 32)).astype(np.float32)
    tifffile.imwrite(tmp_path / "scan.tif", values)
    return tmp_path / "scan.tif"


def _restored(scan: Path, name: str, *words: str) -> np.ndarray:
    out = scan.with_name(name)
    words = ("-t", "ct-denoise", "--unit", "HU", "--partition", "none", *words)
    assert restore(scan, *words, "-o", out) == 0
    return np.asarray(tifffile.imread(out), np.float64)


def test_two_weights_give_their_mean_and_their_spread(scan: Path) -> None:
    """Without a share of the residual, which would depend on the mean of both results."""
    registry = scan.with_name("home") / "registry.toml"
    registry.write_text(re.sub("residual_kept = .*", "", registry.read_text()))
    one = _restored(scan, "one.tif", "--weights", "ct-denoise")
    two = _restored(scan, "two.tif", "--weights", "other")
    both = _restored(scan, "both.tif", *TWO, "--views", "1", "--uncertainty")
    assert np.abs(one - two).max() > 0.1
    np.testing.assert_allclose(both, (one + two) / 2, atol=1e-3)
    spread = tifffile.imread(scan.with_name("both_uncertainty.tif"))
    # Of two values, a half of the squared difference; averaged over neighbours.
    assert float((spread**2).mean()) == pytest.approx(((one - two) ** 2).mean() / 2, rel=0.15)


def test_both_weights_stand_in_the_header(scan: Path) -> None:
    _restored(scan, "both.tif", *TWO)
    with open_scan(scan.with_name("both.tif")) as reader:
        made = made_by(reader)
    assert len(set(re.findall("SHA-256 ([0-9a-f]{64})", made))) == 2
    assert "weights ct-denoise (" in made
    assert ") and other (" in made


def test_the_same_weights_twice_are_refused(scan: Path, capsys: Output) -> None:
    words = ("--weights", "ct-denoise", "--weights", "ct-denoise")
    assert restore(scan, "-t", "ct-denoise", "--unit", "HU", *words) == 2
    assert "named twice" in capsys.readouterr().err


def test_a_config_may_name_one_or_two(scan: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text('weights = "other"')
    one = _restored(scan, "a.tif", "--config", str(config))
    np.testing.assert_array_equal(one, _restored(scan, "b.tif", "--weights", "other"))
    config.write_text('weights = ["ct-denoise", "other"]')
    both = _restored(scan, "c.tif", "--config", str(config))
    np.testing.assert_array_equal(both, _restored(scan, "d.tif", *TWO))
