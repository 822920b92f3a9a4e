"""The frames, tiles and strips that were decoded last, up to a fixed amount of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

CACHED_BYTES = 64 << 20
"""Most bytes of decoded pixels that an open scan keeps."""

Decoded = TypeVar("Decoded")


class DecodedCache(Generic[Decoded]):
    """Keeps the items that were used last, for neighbouring boxes and planes; thread-safe.

    Args:
        size: returns the bytes that an item takes.
        max_bytes: most bytes to keep; the newest item is kept even if it is larger.
    """

    def __init__(self, size: Callable[[Decoded], int], max_bytes: int = CACHED_BYTES) -> None:
        self._size = size
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[Hashable, Decoded] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, decode: Callable[[], Decoded]) -> Decoded:
        """Return an item; decode it if it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        item = decode()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = item
                self._bytes += self._size(item)
            while self._bytes > self._max_bytes and len(self._kept) > 1:
                self._bytes -= self._size(self._kept.popitem(last=False)[1])
        return item

    def clear(self) -> None:
        """Forget all items."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0
