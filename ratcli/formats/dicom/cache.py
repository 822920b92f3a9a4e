"""The frames that were decoded last, within a bound of memory."""

from __future__ import annotations

from collections.abc import Callable

from ratcli.formats.dicom.codec import Frame

_BYTES = 1 << 26


class FrameCache:
    """Remembers the frames that were used last.

    Args:
        max_bytes: most bytes to remember; one frame is remembered whatever its size.
    """

    def __init__(self, max_bytes: int = _BYTES) -> None:
        self._max_bytes = max_bytes
        self._frames: dict[int, Frame] = {}

    def get(self, number: int, decode: Callable[[], Frame]) -> Frame:
        """Return a frame; decode it where it is not remembered."""
        frame = self._frames.pop(number, None) or decode()
        kept = max(1, self._max_bytes // max(1, frame.words.nbytes))
        while len(self._frames) >= kept:
            del self._frames[next(iter(self._frames))]
        self._frames[number] = frame
        return frame

    def clear(self) -> None:
        """Forget all frames."""
        self._frames.clear()
