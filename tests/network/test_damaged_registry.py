"""A damaged registry and impossible networks are refused by name, before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ratcli.errors import WeightsError
from ratcli.network.checkpoint import settings_from
from ratcli.network.registry import list_weights

ENTRY = """[bad]
task = "ct-denoise"
file = "bad.safetensors"
sha256 = "0"
summary = "s"
licence = "x"
data = []
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bad = 3", "expected a table for each name, found 3"),
        ("bad = [1]", "expected a table for each name"),
        ("[bad]\ntask = 't'", "has no 'file'"),
        (ENTRY.replace('"ct-denoise"', "3") + "network = {}", "task = 3, expected a text"),
        (ENTRY + "network = 3", "network = 3, expected a table"),
        (ENTRY + 'network = {}\nuncertainty_scale = "x"', "could not convert"),
        (ENTRY + "network = {}\nresidual_kept = 3", "damaged"),
        (ENTRY + "network = {}\nresidual_kept = {a = 1}", "damaged"),
    ],
)
def test_a_registry_of_wrong_types_is_refused(
    text: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registry.toml").write_text(text)
    monkeypatch.setenv("RAT_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=sentence):
        list_weights()


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"width": "x"}, "width is 'x', expected a number from 1 to 1024"),
        ({"width": 0}, "width is 0"),
        ({"width": -4}, "width is -4"),
        ({"width": 100000}, "width is 100000"),
        ({"width": True}, "width is True"),
        ({"width": [3]}, "width is"),
        ({"groups": [300000]}, "groups is"),
        ({"groups": [1] * 300}, "groups is"),
        ({"groups": []}, "groups is"),
        ({"groups": 3}, "groups is 3, expected a list of numbers from 1 to 64"),
        ({"equivariant": 1}, "equivariant is 1, expected true or false"),
        ({"encoder_blocks": [1]}, "equally long"),
        ({"width": 9, "heads": 8}, "cannot be divided between 8 heads"),
        ({"depth": 3}, "unknown network settings: depth"),
    ],
)
def test_an_impossible_network_is_refused_before_it_is_built(
    table: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(WeightsError, match=sentence):
        settings_from(table)
