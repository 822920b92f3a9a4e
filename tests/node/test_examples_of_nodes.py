"""The settings in examples/node are settings of the node."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratcli.node.config import read_config

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "node"


@pytest.mark.parametrize("name", ["node.toml", "compose.toml"])
def test_an_example_is_read(name: str) -> None:
    config = read_config(EXAMPLES / name)
    assert [route.patterns.modality for route in config.routes] == [("CT",), ("PT",)]
