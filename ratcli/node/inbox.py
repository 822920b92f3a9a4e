"""The folders of the series: objects come in, whole series are taken, restored, failed, deleted."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ratcli.errors import OutputError
from ratcli.formats.atomic import PartialFile, sync_folder
from ratcli.node.arrival import Arrival, RefusedError, find_route, read_arrival
from ratcli.node.queue import Entry, Queue
from ratcli.node.settings import NodeSettings, Route

INPUTS, WORK, OUTPUTS = "in", "work", "out"
_REASON = "reason.txt"
_OLD_S = 3600.0
OUT_OF_RESOURCES = 0xA700


class Inbox:
    """Series on the disk. One lock orders what arrives and what is taken.

    Args:
        node: the settings.
        free_bytes: space that has to stay free.
        queue: the database.
        routes: all routes.

    Attributes:
        temporary: folder for objects that are coming in.
    """

    def __init__(
        self, node: NodeSettings, free_bytes: int, queue: Queue, routes: Sequence[Route]
    ) -> None:
        self._node, self._free_bytes, self._queue, self._routes = node, free_bytes, queue, routes
        self._series, self._failed = node.folder / "series", node.folder / "failed"
        self.temporary = node.folder / "arriving"
        for folder in (self._series, self._failed, self.temporary):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._expected: dict[str, int] = {}
        self._active: Counter[str] = Counter()

    def has_room(self) -> bool:
        """Return whether the disk has as much space as has to stay free."""
        return shutil.disk_usage(self._node.folder).free >= self._free_bytes

    def folder(self, key: str, part: str) -> Path:
        """Return the folder of a series' `INPUTS`, `WORK` or `OUTPUTS`."""
        return self._series / key / part

    def store(self, path: Path, calling: str, called: str, instance: str = "") -> str:
        """Take over the file of an object; it is safely on the disk when this returns.

        Args:
            path: the file, in the folder `temporary`; it is moved.
            calling: AE title of the caller.
            called: AE title that was called.
            instance: SOP Instance UID that the caller announced; empty for none.

        Returns:
            The key of the series.

        Raises:
            RefusedError: the object cannot be accepted.
        """
        if not self.has_room():
            raise no_room()
        arrival = read_arrival(path, calling, called)
        if instance and arrival.instance != instance:
            raise RefusedError("the object is not the one that was announced", 0xA900)
        route = find_route(self._routes, arrival)
        key = arrival.key(route.patterns.name)
        try:
            with self._arriving(key, route.patterns.name, arrival):
                self._move(path, self.folder(key, INPUTS) / arrival.file_name)
        except (OSError, OutputError, sqlite3.Error) as error:
            raise RefusedError("the object cannot be written", OUT_OF_RESOURCES) from error
        return key

    @contextmanager
    def _arriving(self, key: str, route: str, arrival: Arrival) -> Iterator[None]:
        """Keep a series from being taken while one of its objects is written."""
        with self._lock:
            if key not in self._last:
                self._refuse_if_full(key)
                self._queue.receive(key, route)
            self._last[key] = time.monotonic()
            self._expected[key] = max(self._expected.get(key, 0), arrival.expected)
            self._active[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._last[key] = time.monotonic()
                self._active[key] -= 1

    def _refuse_if_full(self, key: str) -> None:
        counts = self._queue.counts()
        waiting = counts["received"] + counts["restoring"] + counts["restored"]
        known = self._queue.entry(key)
        is_waiting = known is not None and known.state in ("received", "restoring", "restored")
        if waiting >= self._node.most_waiting and not is_waiting:
            raise RefusedError("too many series wait to be sent", OUT_OF_RESOURCES)

    def _move(self, path: Path, final: Path) -> None:
        is_new = not final.parent.exists()
        partial = PartialFile(final, overwrite=True)
        path.replace(partial.path)
        partial.commit()
        if is_new:
            sync_folder(final.parent.parent)
            sync_folder(self._series)

    def take(self) -> str | None:
        """Return a series that is complete, which is now `restoring`; None if there is none."""
        with self._lock:
            now = time.monotonic()
            for entry in self._queue.entries("received"):
                key = entry.key
                if key not in self._last:  # from before a restart, or put back by hand
                    self._last[key] = now
                elif self._is_complete(key, now):
                    self._forget(key)
                    if not self._has_inputs(key):
                        self._queue.remove(key, "received")
                    elif self._queue.change(key, "received", "restoring"):
                        return key
        return None

    def _is_complete(self, key: str, now: float) -> bool:
        if self._active[key]:
            return False
        if now - self._last[key] >= self._node.quiet_seconds:
            return True
        expected = self._expected.get(key, 0)
        return expected > 0 and len(list(self.folder(key, INPUTS).glob("*.dcm"))) >= expected

    def _has_inputs(self, key: str) -> bool:
        return any(self.folder(key, INPUTS).glob("*.dcm"))

    def _forget(self, key: str) -> None:
        for known in (self._last, self._expected, self._active):
            known.pop(key, None)

    def put_back(self, key: str, seconds: float) -> None:
        """Restore a series again after some time, because the machine could not do it now."""
        with self._lock:
            if self._queue.change(key, "restoring", "received"):
                self._last[key] = time.monotonic() + seconds

    def restored(self, key: str, destinations: Sequence[str]) -> None:
        """Put what was restored in its place, unless more of the series came meanwhile."""
        with self._lock:
            if key in self._last:
                return
            work, outputs = self.folder(key, WORK), self.folder(key, OUTPUTS)
            shutil.rmtree(outputs, ignore_errors=True)
            work.rename(outputs)
            sync_folder(outputs.parent)
            self._queue.restored(key, destinations)

    def ignore(self, key: str, reason: str) -> None:
        """Keep a series as it came, because nothing in it is to be restored."""
        self._queue.change(key, "restoring", "ignored", reason)

    def fail(self, key: str, state: str, reason: str) -> None:
        """Move a series to the folder of those that failed, with the reason in a text file."""
        with self._lock:
            # Recorded first: after a crash, the series is tried again from where its folder is.
            if not self._queue.change(key, state, "failed", reason):
                return
            folder = self._series / key
            (folder / _REASON).write_text(f"{reason}\n", encoding="utf-8")
            folder.rename(_free_name(self._failed / key))
            sync_folder(self._failed)

    def retry(self) -> int:
        """Put all series that failed back into the queue; return how many."""
        done = 0
        for entry in self._queue.entries("failed"):
            for failed in sorted(self._failed.glob(f"{entry.key}*")):
                inputs = self.folder(entry.key, INPUTS)
                inputs.mkdir(parents=True, exist_ok=True)
                for path in (failed / INPUTS).glob("*.dcm"):
                    path.replace(inputs / path.name)
                sync_folder(inputs)
                shutil.rmtree(failed)
            done += self._queue.change(entry.key, "failed", "received")
        return done

    def clean(self, keep_bytes: int) -> None:
        """Delete what was sent or ignored long ago or takes too much space, and unfinished files.

        Args:
            keep_bytes: size that the series may have together, 0 for any.
        """
        ended = self._queue.entries("sent", "ignored")
        size = _size_of(self._series) if keep_bytes and ended else 0
        for entry in ended:
            is_old = time.time() - entry.changed > self._node.keep_days * 86400
            if is_old or size > keep_bytes > 0:
                size -= _size_of(self._series / entry.key) if keep_bytes else 0
                self._delete(entry)
        for path in self.temporary.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _OLD_S:
                    path.unlink()

    def _delete(self, entry: Entry) -> None:
        with self._lock:
            if self._queue.remove(entry.key, entry.state):
                shutil.rmtree(self._series / entry.key, ignore_errors=True)


def no_room() -> RefusedError:
    """Return the error of an object for which the disk has no room."""
    return RefusedError("there is too little space on the disk", OUT_OF_RESOURCES)


def _free_name(path: Path) -> Path:
    """Return a name that is not taken: the name itself, or with a number."""
    number, found = 1, path
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
