"""A cache of partitions on disk, so that none is computed twice.

The name of an entry is the SHA-256 of the plane's values and of the partitioner's settings; it
says nothing about a file or a patient. Several processes may share a folder: entries are written
under a temporary name, and two processes that make the same entry write the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ratcli.errors import OutputError
from ratcli.partition import Partitioner
from ratcli.regions import Regions
from ratcli.scan import FloatArray


@dataclass(frozen=True)
class CachedPartitioner:
    """A partitioner that looks into a folder first.

    Attributes:
        source: makes the partitions that are missing.
        folder: holds the entries; made when the first is kept.
    """

    source: Partitioner
    folder: Path

    @property
    def name(self) -> str:
        """Name of the partitioner behind it."""
        return self.source.name

    @property
    def settings(self) -> tuple[str, ...]:
        """Settings of the partitioner behind it; the cache does not change the result."""
        return self.source.settings

    def partition(self, plane: FloatArray) -> Regions:
        """Label every pixel of a plane `(C, H, W)`.

        Raises:
            OutputError: the folder cannot be written.
        """
        key = self.key(plane)
        path = self.folder / f"{key}.npz"
        kept = _load(path, key, plane.shape[-2:])
        if kept is not None:
            return kept
        regions = self.source.partition(plane)
        _store(path, key, regions)
        return regions

    def key(self, plane: FloatArray) -> str:
        """Return the hash of a plane's values, shape and type and of all settings."""
        digest = hashlib.sha256()
        for part in (*self.settings, str(plane.shape), str(plane.dtype)):
            digest.update(len(part).to_bytes(8, "little") + part.encode())
        digest.update(np.ascontiguousarray(plane).data)
        return digest.hexdigest()


def _load(path: Path, key: str, shape: tuple[int, ...]) -> Regions | None:
    """Return an entry, or None if there is none, or it is damaged or of another plane."""
    try:
        # numpy leaves a damaged file open that it opened itself.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as entry:
            labels, stored_key = entry["labels"], str(entry["key"])
    except Exception:  # a damaged archive raises many classes
        return None
    if stored_key != key or labels.shape != tuple(shape) or labels.dtype.kind not in "iu":
        return None
    if labels.min() < 0:
        return None
    return Regions.from_labels(labels)


def _store(path: Path, key: str, regions: Regions) -> None:
    """Write an entry under a temporary name, then rename it."""
    small = np.uint16 if regions.count <= 1 << 16 else np.int32
    partial = path.with_name(f".{path.stem[:16]}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez_compressed(file, labels=regions.labels.astype(small), key=key)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"the cache folder cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
