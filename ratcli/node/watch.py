"""Takes DICOM files from a folder into the inbox, for those without a DICOM network."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from ratcli.node.arrival import RefusedError
from ratcli.node.events import Events, log, reason_of
from ratcli.node.inbox import OUT_OF_RESOURCES, Inbox

CALLING = "FOLDER"
"""Calling AE title, for routes, of what comes from the folder."""

_Stamp = tuple[int, int]


class Watch:
    """A folder that is looked at from time to time.

    A file is taken when it did not change between two looks, and removed when it is in the inbox.
    Files that are refused stay where they are.

    Args:
        folder: the folder; folders in it are searched.
        called: AE title of this node.
        inbox: takes the objects.
        events: counts them.
    """

    def __init__(self, folder: Path, called: str, inbox: Inbox, events: Events) -> None:
        self._folder, self._called, self._inbox, self._events = folder, called, inbox, events
        self._seen: dict[Path, _Stamp] = {}
        self._left: dict[Path, _Stamp] = {}

    def look(self) -> None:
        """Take the files that are complete."""
        now = dict(self._files())
        for path, stamp in now.items():
            if self._seen.get(path) == stamp and self._left.get(path) != stamp:
                self._take(path, stamp)
        self._seen = now
        self._left = {path: stamp for path, stamp in self._left.items() if path in now}

    def _files(self) -> Iterator[tuple[Path, _Stamp]]:
        for path in sorted(self._folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                try:
                    stat = path.stat()
                except OSError:  # removed meanwhile
                    continue
                yield path, (stat.st_size, stat.st_mtime_ns)

    def _take(self, path: Path, stamp: _Stamp) -> None:
        copy = self._inbox.temporary / "watched.dcm"
        try:
            shutil.copyfile(path, copy)
            self._inbox.store(copy, CALLING, self._called)
            self._events.count("objects_received_total")
            self._left[path] = stamp  # if it cannot be removed, it is not taken again and again
            path.unlink()
        except OSError as error:
            log(logging.WARNING, "file left in the folder", reason=reason_of(error))
        except RefusedError as error:
            if error.status != OUT_OF_RESOURCES:
                self._left[path] = stamp
                self._events.count("objects_refused_total")
                log(logging.WARNING, "file left in the folder", reason=error)
        finally:
            copy.unlink(missing_ok=True)
