"""A DICOM file on disk: the header is parsed with limits, the pixel data stay on disk."""

from __future__ import annotations

import contextlib
import copy
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ratcli.errors import RatError, UnreadableInputError, reason_of
from ratcli.formats.dicom.archive import open_archive
from ratcli.formats.dicom.budget import CountedStream
from ratcli.formats.dicom.elements import quiet_pydicom, uid
from ratcli.formats.limits import inflate, read_bounded

MAX_DATASET_BYTES = 1 << 28
"""Most bytes that a deflated data set or an archive's member may inflate to."""

_PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_PIXEL_DATA = 0x7FE00010
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"UN")


@contextlib.contextmanager
def guarded(path: Path, what: str) -> Iterator[None]:
    """Turn every error that a parser or decoder raises on damaged bytes into one clear error.

    The cause is dropped on purpose: pydicom's messages quote element values.

    Args:
        path: the file that is read; its name goes into the message.
        what: the part that is read, as `the header`.

    Raises:
        UnreadableInputError: anything but a RatError was raised inside.
    """
    try:
        with quiet_pydicom():
            yield
    except RatError:
        raise
    except RecursionError:
        raise UnreadableInputError(f"{path.name}: sequences are nested too deeply") from None
    except OSError as error:
        reason = reason_of(error)
        raise UnreadableInputError(f"{path.name} cannot be read: {reason}") from None
    except Exception:
        raise UnreadableInputError(f"{path.name}: {what} is damaged") from None


@dataclass(frozen=True)
class PixelElement:
    """Where the pixel data are in a file.

    Attributes:
        offset: of the first byte of the value.
        length: bytes of the value; to the end of the file if it is undefined.
        encapsulated: whether the value is a sequence of fragments.
        floating: whether it is Float or Double Float Pixel Data.
        words: whether the value is a string of 16-bit words (OW), to which the byte order applies.
    """

    offset: int
    length: int
    encapsulated: bool
    floating: bool
    words: bool


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A file whose header was parsed, once for finding, reading and writing.

    Attributes:
        path: the file, or `archive.zip/member`.
        dataset: all elements before the pixel data; not to be changed.
        syntax: transfer syntax.
        pixels: where the pixel data are; None if there are none.
        meta: the file meta elements, as they were found.
        elements: the elements of `dataset` as they were in the file, before any was converted.
        stamp: when the file was written, and its size, as `file_stamp` returned them.
    """

    path: Path
    dataset: Dataset
    syntax: UID
    pixels: PixelElement | None
    meta: Dataset
    elements: Mapping[BaseTag, DataElement | RawDataElement]
    stamp: tuple[int, int]

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the bytes in which `pixels.offset` counts; a deflated data set is inflated."""
        with open_binary(self.path) as file:
            if self.syntax == DeflatedExplicitVRLittleEndian:
                _read_meta(file)
                yield _inflated(file, self.path.name)
            else:
                yield file

    @property
    def header_bytes(self) -> int:
        """Bytes of the header in the file, about a twentieth of what it takes in memory."""
        return self.pixels.offset if self.pixels else self.stamp[1]

    @property
    def is_current(self) -> bool:
        """Whether the file is still the one whose header was parsed."""
        return file_stamp(self.path) == self.stamp

    def copy_header(self) -> Dataset:
        """Return a copy of the header that may be changed; unread values stay raw bytes."""
        return _copy_elements(self.elements, self.dataset)

    def elements_after(self, offset: int) -> Dataset:
        """Read the elements behind the pixel data (private groups of some vendors).

        Args:
            offset: first byte behind the pixel data.
        """
        implicit, little = self.syntax.is_implicit_VR, self.syntax.is_little_endian
        with guarded(self.path, "the end of the file"), self.open() as file:
            file.seek(offset)
            with CountedStream(file, self.path.name) as counted:
                return read_dataset(cast(BinaryIO, counted), implicit, little)


@contextlib.contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """Open a file, or a member of a zip archive as `archive.zip/member`, bounded in memory.

    Raises:
        UnreadableInputError: a member is larger than the limit.
    """
    if path.exists():
        with path.open("rb") as file:
            yield file
        return
    archive = next((part for part in path.parents if part.is_file()), None)
    if archive is None:
        raise FileNotFoundError(2, "no such file")
    members, member = open_archive(archive), path.relative_to(archive).as_posix()
    if member not in members.NameToInfo:  # written with a backslash between folders
        stored = (name for name in members.NameToInfo if member_name(name) == member)
        member = next(stored, member)
    with members.open(member) as stream:
        data = read_bounded(stream, max_bytes=MAX_DATASET_BYTES, name=path.name)
    yield data


def member_name(stored: str) -> str:
    """Return the name of an archive's member with `/` between folders, and nothing superfluous."""
    return PurePosixPath(stored.replace("\\", "/")).as_posix()


def file_stamp(path: Path) -> tuple[int, int]:
    """Return the time in ns and the size of a file, or of the archive that holds it.

    Both are 0 if the file does not exist any more.
    """
    for part in (path, *path.parents):
        if part.is_file():
            found = part.stat()
            return found.st_mtime_ns, found.st_size
    return 0, 0


def read_header(path: Path) -> DicomFile:
    """Read all elements before the pixel data.

    Raises:
        UnreadableInputError: damaged, nested too deeply, or inflating beyond the limit.
    """
    with guarded(path, "the header"), open_binary(path) as file:
        stamp = file_stamp(path)
        syntax, meta = _read_meta(file)
        body = _inflated(file, path.name) if syntax == DeflatedExplicitVRLittleEndian else file
        with CountedStream(body, path.name) as counted:
            dataset = read_dataset(
                cast(BinaryIO, counted),
                syntax.is_implicit_VR,
                syntax.is_little_endian,
                stop_when=lambda tag, vr, length: tag in _PIXEL_TAGS or tag.group > 0x7FE0,
            )
            elements = dict(dataset.items())
            counted.add_unparsed(elements.values())
        if not dataset:
            raise UnreadableInputError(f"{path.name}: no element of the DICOM header can be read")
        encoding = dataset.original_encoding
        pixels = _pixel_element(body, bool(encoding[0]), bool(encoding[1]))
        syntax = _actual_syntax(syntax, dataset)
        return DicomFile(path, dataset, syntax, pixels, meta, elements, stamp)


def _copy_elements(
    elements: Mapping[BaseTag, DataElement | RawDataElement], source: Dataset
) -> Dataset:
    """Return a data set of copied elements with the encodings of the one that they come from."""
    copied = Dataset(
        {tag: _copy_element(element) for tag, element in elements.items()},
        parent_encoding=source.original_character_set,
    )
    implicit, little = source.original_encoding
    copied.set_original_encoding(implicit, little, source.original_character_set)
    copied.is_undefined_length_sequence_item = source.is_undefined_length_sequence_item
    return copied


def _copy_element(element: DataElement | RawDataElement) -> DataElement | RawDataElement:
    if isinstance(element, RawDataElement):  # a tuple, which cannot change
        return element
    copied = copy.copy(element)
    if element.VR == "SQ":
        copied.value = Sequence(_copy_elements(dict(item.items()), item) for item in element.value)
    return copied


def _read_meta(file: BinaryIO) -> tuple[UID, Dataset]:
    """Read the meta elements; a missing transfer syntax is guessed from the bytes."""
    file.seek(0)
    head = file.read(132)
    file.seek(132 if head[128:] == b"DICM" else 0)
    meta = Dataset()
    if file.read(2) == b"\x02\x00":
        file.seek(-2, os.SEEK_CUR)
        meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    else:
        file.seek(-2, os.SEEK_CUR)
    syntax = uid(meta, "TransferSyntaxUID")
    return UID(syntax) if syntax else _guess_syntax(file), meta


def _guess_syntax(file: BinaryIO) -> UID:
    start = file.read(8)
    file.seek(-len(start), os.SEEK_CUR)
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    if not explicit:
        return ImplicitVRLittleEndian
    return ExplicitVRBigEndian if start[:1] == b"\0" else ExplicitVRLittleEndian


def _actual_syntax(declared: UID, dataset: Dataset) -> UID:
    """Correct a syntax that contradicts the bytes; some archives write explicit VR as implicit."""
    if declared == ImplicitVRLittleEndian and dataset.original_encoding[0] is False:
        return ExplicitVRLittleEndian
    if declared == ExplicitVRLittleEndian and dataset.original_encoding[0] is True:
        return ImplicitVRLittleEndian
    return declared


def _inflated(file: BinaryIO, name: str) -> BinaryIO:
    return inflate(file, wbits=-15, max_bytes=MAX_DATASET_BYTES, name=name)


def _pixel_element(file: BinaryIO, implicit: bool, little: bool) -> PixelElement | None:
    """Parse the element that the file is positioned at, if it is one of pixel data."""
    order = "<" if little else ">"
    head = file.read(8)
    if len(head) < 8:
        return None
    group, element = struct.unpack(f"{order}HH", head[:4])
    tag = group << 16 | element
    if tag not in _PIXEL_TAGS:
        return None
    if implicit or head[4:6] not in _LONG_VRS:
        length = cast(int, struct.unpack(f"{order}I", head[4:])[0])
    else:
        length = struct.unpack(f"{order}I", file.read(4))[0]
    offset = file.tell()
    available = file.seek(0, os.SEEK_END) - offset
    undefined = length == _UNDEFINED
    size = available if undefined else length
    words = implicit or head[4:6] == b"OW"
    return PixelElement(offset, size, undefined, floating=tag != _PIXEL_DATA, words=words)
