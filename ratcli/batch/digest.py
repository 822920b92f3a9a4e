"""SHA-256 of files and of folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ratcli.weightfiles import hash_file


def files_digest(paths: Iterable[Path]) -> str:
    """Return one SHA-256 for several files. It does not depend on their names and order.

    A single file has its own SHA-256, as `sha256sum` prints it.
    """
    digests = sorted(hash_file(path) for path in paths)
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def output_digest(path: Path) -> str:
    """Return the SHA-256 of an output: a file, or a folder of files."""
    if path.is_dir():
        return files_digest(child for child in path.rglob("*") if child.is_file())
    return hash_file(path)
