"""`--max-pixels`: every command that reads a scan can be told, since every error says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from ratcli.cli.app import main

COMMANDS = {
    "restore": ("-t", "ct-denoise", "--unit", "HU"),
    "simulate": ("-t", "ct-denoise", "--unit", "HU", "--spacing", "1"),
    "segment": ("--unit", "HU"),
    "evaluate": ("--unit", "HU"),
    "info": (),
}


@pytest.mark.usefixtures("tiny_weights")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_plane_beyond_the_limit_is_refused_until_the_limit_is_raised(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = tmp_path / "scan.tif"
    values = np.random.default_rng(0).normal(0, 100, (48, 40)).astype(np.float32)
    tifffile.imwrite(scan, values)
    words = [command, str(scan), *COMMANDS[command], "--max-pixels"]
    assert main([*words, str(48 * 40 - 1)]) == 4
    assert "raise the limit with --max-pixels" in capsys.readouterr().err
    assert main([*words, str(48 * 40)]) == 0
