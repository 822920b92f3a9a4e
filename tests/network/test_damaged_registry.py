"""A damaged registry and impossible networks are refused by name, before anything is built."""

from __future__ import annotations

import re
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
        ("bad = 3", "registry.toml: bad is 3, expected a table"),
        ("bad = [1]", "expected a table"),
        ("[bad]\ntask = 't'", r"registry.toml, \[bad\]: file is missing"),
        (ENTRY.replace('"ct-denoise"', "3") + "network = {}", "task is 3, expected a text"),
        (ENTRY + "network = 3", "network is 3, expected a table"),
        (
            ENTRY + 'network = {}\nuncertainty_scale = "x"',
            "uncertainty_scale is 'x', expected a number",
        ),
        (ENTRY + "network = {}\nresidual_kept = 3", "residual_kept is 3, expected a table"),
        (ENTRY + "network = {}\nuncertainty_floor = nan", "uncertainty_floor is nan, expected a"),
        (ENTRY + "network = {}\nmean_kept_px = -1", "mean_kept_px is -1, expected a number >= 0"),
        (ENTRY + "network = {}\nmean_kept = 4.0", "Did you mean mean_kept_px"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("[bad", "is not TOML"),
        (ENTRY + "network = {}\nresidual_kept = {a = 1}", "residual_kept: a is not a setting"),
    ],
)
def test_a_registry_of_wrong_types_is_refused(
    text: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registry.toml").write_text(text)
    monkeypatch.setenv("RAT_HOME", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        list_weights()
    assert re.search(sentence, f"{caught.value} {caught.value.hint}")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"width": "x"}, "width is 'x', expected a whole number"),
        ({"width": 0}, "width is 0, expected a whole number >= 1"),
        ({"width": -4}, "width is -4"),
        ({"width": 100000}, "width is 100000, expected a whole number <= 1024"),
        ({"width": True}, "width is True"),
        ({"width": [3]}, "width is"),
        ({"groups": [300000]}, r"groups\[0\] is 300000, expected a whole number <= 64"),
        ({"groups": [1] * 300}, "expected a list of length <= 16"),
        ({"groups": []}, "groups is"),
        ({"groups": 3}, "groups is 3, expected a list"),
        ({"equivariant": 1}, "equivariant is 1, expected true or false"),
        ({"encoder_blocks": [1]}, "equally long"),
        ({"width": 9, "heads": 8}, "cannot be divided between 8 heads"),
        ({"depth": 3}, "depth is not a setting"),
    ],
)
def test_an_impossible_network_is_refused_before_it_is_built(
    table: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(WeightsError, match=sentence):
        settings_from(table)
