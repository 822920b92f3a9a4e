"""SAM checkpoints: finds, downloads, imports, verifies and reads them.

Meta's checkpoints are not ours to ship. They are downloaded or imported once, verified by SHA-256
before they get their final name, and verified again each time they are loaded. A checkpoint is
read as tensors only: a pickle that wants to run code is refused.
"""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ratcli.errors import InputNotFoundError, OutputError, WeightsError
from ratcli.weightfiles import hash_file, user_folder

if TYPE_CHECKING:
    from segment_anything.modeling import Sam
    from torch import Tensor

    from ratcli.partition.sam_model import SamShape

_BASE_URL = "https://dl.fbaipublicfiles.com/segment_anything/"


@dataclass(frozen=True)
class SamCheckpoint:
    """A published checkpoint.

    Attributes:
        name: as on the command line.
        file: its file name.
        sha256: hash of its bytes.
        size: bytes, or None if it is not known.
        url: where it is published.
    """

    name: str
    file: str
    sha256: str
    size: int | None
    url: str


def _meta(name: str, file: str, sha256: str, size: int | None) -> SamCheckpoint:
    return SamCheckpoint(name, file, sha256, size, _BASE_URL + file)


CHECKPOINTS: dict[str, SamCheckpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        _meta(
            "sam-vit-b",
            "sam_vit_b_01ec64.pth",
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            375042383,
        ),
        _meta(
            "sam-vit-l",
            "sam_vit_l_0b3195.pth",
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
            None,
        ),
        _meta(
            "sam-vit-h",
            "sam_vit_h_4b8939.pth",
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            2564550879,
        ),
    )
}


class DownloadProgress(Protocol):
    """What a download reports to; tqdm's bar is one."""

    total: float

    def update(self, amount: int) -> None:
        """More bytes came."""

    def reset(self) -> None:
        """Start over."""

    def close(self) -> None:
        """No more will come."""


def locate(checkpoint: SamCheckpoint, home: Path | None = None) -> Path:
    """Return the path of a checkpoint that is installed.

    Raises:
        WeightsError: it is not.
    """
    path = (home or user_folder()) / checkpoint.file
    if not path.is_file():
        raise WeightsError(
            f"the weights of {checkpoint.name} are not installed",
            hint=f"Run `rat weights download {checkpoint.name}`, or `rat weights import FILE` "
            f"with {checkpoint.file}.",
        )
    return path


def verify(checkpoint: SamCheckpoint, path: Path) -> None:
    """Compare a file with a checkpoint's size and hash.

    Raises:
        WeightsError: they differ, or the file cannot be read.
    """
    try:
        size = path.stat().st_size
        found = hash_file(path)
    except OSError as error:
        raise WeightsError(f"{path.name} cannot be read: {error.strerror}") from error
    if checkpoint.size is not None and size != checkpoint.size:
        raise _damaged(checkpoint, f"{size} bytes", f"{checkpoint.size}")
    if found != checkpoint.sha256:
        raise _damaged(checkpoint, f"SHA-256 {found[:12]}...", f"{checkpoint.sha256[:12]}...")


def _damaged(checkpoint: SamCheckpoint, found: str, expected: str) -> WeightsError:
    return WeightsError(
        f"{checkpoint.file} is damaged or another file: found {found}, expected {expected}",
        hint=f"Download it again with `rat weights download {checkpoint.name}`.",
    )


def download_checkpoint(
    checkpoint: SamCheckpoint,
    home: Path | None = None,
    *,
    progress: DownloadProgress | None = None,
    timeout_s: float = 30.0,
) -> Path:
    """Fetch a checkpoint, verify it, and only then give it its final name.

    A file that is there and whole is not fetched again; a broken transfer leaves nothing.
    Proxy settings are those of the environment.

    Args:
        checkpoint: which.
        home: folder to keep it in.
        progress: hears how many bytes arrive.
        timeout_s: seconds without a byte after which the transfer is given up.

    Raises:
        WeightsError: the transfer failed, stalled, or brought other bytes.
        OutputError: the folder cannot be written.
    """
    import pooch
    import requests

    fetch = pooch.HTTPDownloader(progressbar=progress or False, timeout=timeout_s)
    try:
        return _retrieve(checkpoint, home or user_folder(), fetch)
    except requests.exceptions.RequestException as error:
        raise WeightsError(
            f"{checkpoint.file} could not be downloaded: {_cause(error)}",
            hint="Try again, or copy the file here and run `rat weights import FILE`.",
        ) from error
    except ValueError as error:  # pooch: the hash differs
        raise _damaged(checkpoint, "another SHA-256", f"{checkpoint.sha256[:12]}...") from error
    except OSError as error:
        raise OutputError(f"the folder of weights cannot be written: {error.strerror}") from error


def _retrieve(checkpoint: SamCheckpoint, folder: Path, fetch: Any) -> Path:
    """Download into a folder; pooch compares the hash before it gives the file its name."""
    import pooch

    pooch.get_logger().setLevel("ERROR")
    folder.mkdir(parents=True, exist_ok=True)
    known = f"sha256:{checkpoint.sha256}"
    path = pooch.retrieve(
        checkpoint.url, known_hash=known, fname=checkpoint.file, path=folder, downloader=fetch
    )
    return Path(path)


def _cause(error: Exception) -> str:
    """Return in a few words why a transfer failed, without its address."""
    import requests

    if isinstance(error, requests.exceptions.Timeout):
        return "the server stopped answering"
    if isinstance(error, requests.exceptions.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the transfer was interrupted"
    return "there is no connection to the server"


def import_checkpoint(source: Path, home: Path | None = None) -> tuple[SamCheckpoint, Path]:
    """Copy a published checkpoint into the weights' folder; its hash tells which it is.

    Raises:
        InputNotFoundError: there is no such file.
        WeightsError: no checkpoint in `CHECKPOINTS` has its hash.
        OutputError: the folder cannot be written.
    """
    if not source.is_file():
        raise InputNotFoundError(f"there is no file {source.name}")
    found = hash_file(source)
    known = {checkpoint.sha256: checkpoint for checkpoint in CHECKPOINTS.values()}
    if found not in known:
        raise WeightsError(
            f"{source.name} is not a published SAM checkpoint: its SHA-256 is {found}",
            hint="It may be incomplete; compare its size with that of the original.",
        )
    checkpoint = known[found]
    try:
        path = _copy(source, (home or user_folder()) / checkpoint.file)
    except OSError as error:
        raise OutputError(f"the folder of weights cannot be written: {error.strerror}") from error
    verify(checkpoint, path)
    return checkpoint, path


def _copy(source: Path, target: Path) -> Path:
    """Copy a file under a temporary name, then rename it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".import-")
    try:
        with os.fdopen(handle, "wb") as out, source.open("rb") as data:
            shutil.copyfileobj(data, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)
    return target


def load_state(path: Path) -> dict[str, Tensor]:
    """Read a checkpoint as tensors by name, never running code that it may hold.

    Raises:
        WeightsError: it is truncated, no checkpoint, or holds other things than tensors.
    """
    import torch

    try:
        with warnings.catch_warnings():  # torch warns of odd pickles before it refuses them
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path.name} is not a complete checkpoint of tensors",
            hint="It may be incomplete, or contain code, which rat never runs.",
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(v, torch.Tensor) for v in state.values()
    ):
        raise WeightsError(f"{path.name} contains other things than named tensors")
    return dict(state)


def load_sam(shape: SamShape, state: Mapping[str, Tensor]) -> Sam:
    """Build a SAM of a shape with weights.

    Raises:
        WeightsError: the weights are of another architecture.
    """
    from ratcli.partition.sam_model import build_empty

    sam = build_empty(shape)
    expected = sam.state_dict()
    wrong = [
        name
        for name in sorted({*expected, *state})
        if name not in expected or name not in state or expected[name].shape != state[name].shape
    ]
    if wrong:
        raise WeightsError(
            f"the weights are of another architecture: {len(wrong)} of {len(expected)} "
            f"tensors differ, first {wrong[0][:80]}",
            hint="Choose the partition that the file was made for.",
        )
    sam.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return sam.eval().requires_grad_(False)
