"""The bound of what was decoded last."""

from __future__ import annotations

import numpy as np
import pytest

from ratcli.formats.cache import CACHED_BYTES, DecodedCache


def test_what_is_kept_is_not_decoded_again() -> None:
    cache, decoded = DecodedCache[bytes](len), list[int]()
    for key in (1, 2, 1, 2):
        cache.get(key, lambda key=key: decoded.append(key) or b"x")
    assert decoded == [1, 2]


def test_what_was_used_longest_ago_goes_first() -> None:
    cache, decoded = DecodedCache[bytes](len, max_bytes=2), list[int]()
    for key in (1, 2, 1, 3, 1, 2):
        cache.get(key, lambda key=key: decoded.append(key) or b"x")
    assert decoded == [1, 2, 3, 2]


def test_the_newest_is_kept_whatever_its_size() -> None:
    cache = DecodedCache[bytes](len, max_bytes=2)
    cache.get(1, lambda: b"xxx")
    assert cache.get(1, lambda: pytest.fail("decoded again")) == b"xxx"


def test_an_open_scan_keeps_64_megabytes_and_no_more() -> None:
    cache, decoded = DecodedCache[np.ndarray](lambda item: item.nbytes), list[int]()
    eighth = np.broadcast_to(np.uint8(0), CACHED_BYTES // 8)

    def decode(key: int) -> np.ndarray:
        decoded.append(key)
        return eighth

    assert CACHED_BYTES == 64 << 20
    for key in [*range(8), *range(8)]:  # eight fit
        cache.get(key, lambda key=key: decode(key))
    assert decoded == list(range(8))
    cache.get(8, lambda: decode(8))  # the ninth takes the place of the first
    cache.get(0, lambda: decode(0))
    assert decoded == [*range(9), 0]
    assert cache._bytes == CACHED_BYTES


def test_a_cleared_cache_decodes_again() -> None:
    cache = DecodedCache[bytes](len)
    cache.get(1, lambda: b"x")
    cache.clear()
    assert cache.get(1, lambda: b"y") == b"y"
