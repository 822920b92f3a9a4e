from __future__ import annotations

from pathlib import Path

import pytest

from ratcli.api import restore_settings
from ratcli.batch.memory import fit_tile, parse_bytes
from ratcli.errors import DeviceError, UsageError

pytestmark = pytest.mark.usefixtures("tiny_weights")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GB", 4 * 10**9), ("1500 MB", 15 * 10**8), ("1.5g", 15 * 10**8), ("2GiB", 2 * 10**9)],
)
def test_amounts_of_memory_are_read(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "much", "-4GB", "4 GB RAM"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no amount of memory"):
        parse_bytes(text)


def test_more_memory_gives_larger_tiles() -> None:
    tiles = [fit_tile(size * 10**9, "ct-denoise") for size in (1, 2, 4)]
    assert tiles == sorted(tiles)
    assert tiles[0] >= 128


def test_too_little_memory_is_told_with_what_is_needed() -> None:
    with pytest.raises(DeviceError) as caught:
        fit_tile(10**8, "ct-denoise")
    assert "at least 0.9 GB" in caught.value.hint


def test_a_budget_chooses_the_tile_unless_one_is_given() -> None:
    chosen = restore_settings("ct-denoise", memory="1GB")
    assert chosen.tile == fit_tile(10**9, "ct-denoise")
    assert chosen.batch == 1
    assert restore_settings("ct-denoise", memory="1GB", tile=256).tile == 256


def test_a_budget_keeps_the_overlap_below_the_tile(tiny_weights: Path) -> None:
    settings = restore_settings("ct-denoise", memory="0.91GB")
    assert settings.tile_overlap < settings.tile
