"""`rat weights` about the compact SAM, which restores nothing and finds regions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ratcli.cli.app import app
from ratcli.network.registry import list_weights

ENTRY = """[sam-compact]
use = "partition"
file = "sam-compact.safetensors"
sha256 = "{sha256}"
summary = "small"
licence = "Apache-2.0"
data = []
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    content = b"some weights"
    (tmp_path / "sam-compact.safetensors").write_bytes(content)
    text = ENTRY.format(sha256=hashlib.sha256(content).hexdigest())
    (tmp_path / "registry.toml").write_text(text)
    monkeypatch.setenv("RAT_HOME", str(tmp_path))
    return tmp_path


def test_weights_of_a_partition_are_listed_as_such(home: Path) -> None:
    result = CliRunner().invoke(app, ["weights", "list", "--json"])
    rows = {row["name"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows["sam-compact"]["use"] == "partition"
    assert rows["sam-compact"]["file"] == str(home / "sam-compact.safetensors")
    assert "sam-compact" not in {entry.name for entry in list_weights()}


def test_weights_of_a_partition_are_verified(home: Path) -> None:
    assert CliRunner().invoke(app, ["weights", "verify", "sam-compact"]).exit_code == 0
    (home / "sam-compact.safetensors").write_bytes(b"other weights")
    result = CliRunner().invoke(app, ["weights", "verify", "sam-compact"])
    assert "sam-compact: damaged" in result.stdout
    assert result.exception is not None
