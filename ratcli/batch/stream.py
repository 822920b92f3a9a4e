"""Reads planes ahead and writes them behind, so that the network does not wait for the disk."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from pathlib import Path

from typing_extensions import Self

from ratcli.batch.closing import Closing
from ratcli.formats import create_scan
from ratcli.scan import BoolArray, Box, Derivation, FloatArray, ScanInfo, ScanReader, ScanWriter

DEPTH = 3
"""Planes kept in memory before the network, and after it."""

MOST_BYTES = 1 << 28
"""Planes larger than this are not read ahead, because they are read in boxes."""


class ReadAhead(Closing):
    """A reader that reads the next planes while one is worked on.

    One thread makes all calls to the inner reader, and all calls to a writer that is made from it,
    because a writer may use its reader. Whole planes that are read in order come from memory; boxes
    are read when they are asked for.

    Args:
        inner: an open reader; closed with this one.
        depth: planes read ahead.

    Attributes:
        inner: the open reader.
        thread: the thread that calls it.
    """

    def __init__(self, inner: ScanReader, depth: int = DEPTH) -> None:
        self.inner = inner
        info = inner.info
        plane_bytes = 4 * info.channels * info.height * info.width
        self._depth = depth if plane_bytes <= MOST_BYTES else 0
        self.thread = ThreadPoolExecutor(1, "rat-scan")
        self._coming: dict[int, Future[tuple[FloatArray, BoolArray]]] = {}
        self._padding: dict[int, BoolArray] = {}

    @property
    def info(self) -> ScanInfo:
        """Facts about the scan."""
        return self.inner.info

    def start(self) -> None:
        """Begin to read the first planes."""
        self._schedule(0)

    def read(self, plane: int, box: Box | None = None) -> FloatArray:
        """Read a plane or a box; see `ScanReader.read`."""
        if box is not None or not self._depth:
            return self.thread.submit(self.inner.read, plane, box).result()
        self._schedule(plane)
        values, padding = self._coming.pop(plane).result()
        self._padding = {plane: padding, **dict(list(self._padding.items())[: self._depth])}
        self._schedule(plane + 1)
        return values

    def padding(self, plane: int, box: Box | None = None) -> BoolArray:
        """Return where there is no measurement; see `ScanReader.padding`."""
        if plane in self._padding:
            return self._padding[plane][box.slices if box else ...]
        return self.thread.submit(self.inner.padding, plane, box).result()

    def _schedule(self, first: int) -> None:
        for plane in range(first, min(first + self._depth, self.info.planes)):
            if plane not in self._coming:
                self._coming[plane] = self.thread.submit(self._read_both, plane)

    def _read_both(self, plane: int) -> tuple[FloatArray, BoolArray]:
        return self.inner.read(plane), self.inner.padding(plane)

    def close(self, error: BaseException | None = None) -> None:
        """Stop reading ahead, and close the inner reader."""
        self.thread.shutdown(wait=True, cancel_futures=True)
        self.inner.__exit__(None, error, None)


class WriteBehind(Closing):
    """A writer that hands planes to a thread. If too many planes wait, the caller waits as well.

    Arrays must not change after they were handed over. An error is raised by the next call.

    Args:
        inner: a writer; entered with this one, and closed with it.
        thread: the thread of the reader that it is made from.
        depth: planes that may wait.
    """

    def __init__(self, inner: ScanWriter, thread: Executor, depth: int = DEPTH) -> None:
        self._inner = inner
        self._room = threading.BoundedSemaphore(depth)
        self._thread = thread
        self._waiting: list[Future[None]] = []

    def write(self, plane: int, values: FloatArray, box: Box | None = None) -> None:
        """Write a plane or a box; see `ScanWriter.write`."""
        self._raise_errors()
        self._room.acquire()
        self._waiting.append(self._thread.submit(self._write, plane, values, box))

    def _write(self, plane: int, values: FloatArray, box: Box | None) -> None:
        try:
            self._inner.write(plane, values, box)
        finally:
            self._room.release()

    def _raise_errors(self) -> None:
        """Raise the first error of the writes that are done."""
        finished = [future for future in self._waiting if future.done()]
        self._waiting = [future for future in self._waiting if not future.done()]
        for future in finished:
            future.result()

    def __enter__(self) -> Self:
        self._thread.submit(self._inner.__enter__).result()
        return self

    def close(self, error: BaseException | None = None) -> None:
        """Close the inner writer after the planes that wait; after an error, without them."""
        if error is not None:
            for future in self._waiting:
                future.cancel()
            self._close(error)
            return
        try:
            wait(self._waiting)
            self._raise_errors()
        except BaseException as failure:
            self._close(failure)
            raise
        self._close(None)

    def _close(self, error: BaseException | None) -> None:
        self._thread.submit(self._inner.__exit__, None, error, None).result()


def write_behind(
    reader: ReadAhead,
    path: Path,
    derivation: Derivation,
    *,
    overwrite: bool,
    jpeg_quality: int | None = None,
) -> WriteBehind:
    """Begin a scan made from `reader`; see `ratcli.formats.create_scan`."""

    def create() -> ScanWriter:
        return create_scan(
            reader.inner, path, derivation, overwrite=overwrite, jpeg_quality=jpeg_quality
        )

    return WriteBehind(reader.thread.submit(create).result(), reader.thread)
