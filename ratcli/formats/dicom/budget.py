"""How many elements a DICOM header may have: a few bytes of a file cost a kilobyte in memory."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import BinaryIO

from pydicom.dataelem import DataElement, RawDataElement
from typing_extensions import Self

from ratcli.errors import UnreadableInputError

MOST_ELEMENTS = 1 << 18
"""Most elements of a header, twice those of an object of 2000 frames; an item counts as several."""

_ITEM_COST = 4  # pydicom makes a data set of each
_TAG_BYTES = 8
_UNDEFINED = 0xFFFFFFFF
_DELIMITERS = 0xFFFE
_ITEM_TAGS = (b"\xff\xfe\xe0\x00", b"\xfe\xff\x00\xe0")  # big and little endian
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


class CountedStream:
    """A stream that pydicom reads a header from; it ends after too many elements.

    pydicom hides errors of a stream, so that leaving the `with` block raises the error.

    Args:
        file: the stream.
        name: of the file, for messages.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name, self._count = file, name, 0
        self.seek, self.tell = file.seek, file.tell

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Refuse too many elements.

        Raises:
            UnreadableInputError: there are more than `MOST_ELEMENTS`.
        """
        if self._count > MOST_ELEMENTS:
            raise UnreadableInputError(
                f"{self._name}: the header has more than {MOST_ELEMENTS} elements"
            ) from None

    def read(self, size: int = -1) -> bytes:
        """Read bytes. The tag and length of each element and item are read as 8 bytes."""
        data = self._file.read(size)
        if size == _TAG_BYTES:
            self._count += _ITEM_COST if data[:4] in _ITEM_TAGS else 1
        return data if self._count <= MOST_ELEMENTS else b""

    def add_unparsed(self, elements: Iterable[DataElement | RawDataElement]) -> None:
        """Count what is inside sequences that pydicom parses only when they are asked for."""
        left = list(elements)
        while left and self._count <= MOST_ELEMENTS:
            element = left.pop()
            if isinstance(element, RawDataElement):
                data, little = element.value or b"", element.is_little_endian
                if data[:4] == _ITEM_TAGS[little]:
                    self._count += _count(data, little=little)
            elif element.VR == "SQ":
                for item in element.value:
                    left += item.values()


def _count(data: bytes, *, little: bool) -> int:
    """Count the elements of a sequence, those inside others too, up to a limit."""
    order, item = ("<" if little else ">"), _ITEM_TAGS[little]
    position = count = 0
    while position + _TAG_BYTES <= len(data) and count <= MOST_ELEMENTS:
        group, _, length = struct.unpack_from(f"{order}HHI", data, position)
        vr = data[position + 4 : position + 6]
        position += _TAG_BYTES
        if group == _DELIMITERS:
            count += _ITEM_COST
            continue  # what an item holds follows it
        count += 1
        if vr in _SHORT_VRS:
            (length,) = struct.unpack_from(f"{order}H", data, position - 2)
        elif vr in _LONG_VRS:
            (length,) = struct.unpack(f"{order}I", data[position : position + 4].ljust(4, b"\0"))
            position += 4
        if length != _UNDEFINED and data[position : position + 4] != item:
            position += length
    return count
