"""`--config` of commands other than restore, whose tests have the rest of it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ratcli.cli.app import main

Output = pytest.CaptureFixture[str]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A NIfTI stack in HU: water in air."""
    values = np.full((40, 40, 2), -1000, np.int16)
    values[10:30, 10:30] = 0
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii")
    return tmp_path / "scan.nii"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(
        'unit = "HU"\n'
        '[segment]\nformat = "tiff"\ntable = true\n'
        '[simulate]\ntask = "ct-denoise"\ndose = 0.5\n'
    )
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_segment_takes_its_options_from_a_config(scan: Path, config: Path) -> None:
    assert main(["segment", str(scan), "--config", str(config), "--threads", "1"]) == 0
    assert {"scan_regions.tif", "scan_regions.csv"} <= set(names(scan.parent))


def test_segment_lets_the_command_line_win_over_a_config(scan: Path, config: Path) -> None:
    command = ["segment", str(scan), "--config", str(config), "--format", "nifti", "--threads", "1"]
    assert main(command) == 0
    assert "scan_regions.nii.gz" in names(scan.parent)


def test_simulate_takes_its_options_from_a_config(scan: Path, config: Path) -> None:
    assert main(["simulate", str(scan), "--config", str(config), "--threads", "1"]) == 0
    said = nib.load(scan.with_name("scan_simulated.nii")).header.extensions
    assert any(b"dose 0.5" in extension.get_content() for extension in said)


@pytest.mark.parametrize("command", ["segment", "simulate"])
def test_a_word_that_a_command_lacks_is_refused(
    scan: Path, config: Path, capsys: Output, command: str
) -> None:
    config.write_text("recursiv = true\n")
    assert main([command, str(scan), "--config", str(config)]) == 2
    assert "Did you mean recursive?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("segment = 3", "segment is 3, expected a table"),
        ("segment = [1]", "segment is [1], expected a table"),
        ("unit = " + "[" * 100_000, "nested too deeply"),
        ("unit = {a = 1}", "has a table 'unit', which is not a command"),
        ("[segmnt]\nunit = 3", "Did you mean segment?"),
        ("unit = 3", "unit must be a text, not 3"),
        ("threads = 1e400", "threads must be a whole number, not inf"),
        ("threads = true", "threads must be a whole number, not True"),
        ("threads = -1", "threads must be from 0 to 1024, not -1"),
        ("suv-factor = nan", "suv-factor must be at least 1e-12, not nan"),
        ("partition = 'x'", "there is no partition 'x'"),
        ("[segment.deeper]\na = 1", "sets 'deeper'"),
        ("[segment]\n[segment]", "is not TOML"),
        ("a = '\\u0000", "is not TOML"),
    ],
)
def test_a_damaged_config_is_refused_by_its_key(
    scan: Path, tmp_path: Path, capsys: Output, text: str, sentence: str
) -> None:
    (tmp_path / "bad.toml").write_text(text)
    assert main(["segment", str(scan), "--config", str(tmp_path / "bad.toml")]) == 2
    said = capsys.readouterr().err
    assert "bad.toml" in said
    assert sentence in said


def test_a_config_that_is_no_text_is_refused(scan: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(b"unit = '\xff'")
    assert main(["segment", str(scan), "--config", str(tmp_path / "bad.toml")]) == 2
