"""Encoded frames put into a data set as its Pixel Data."""

from __future__ import annotations

import io

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate_buffer
from pydicom.uid import UID

from ratcli.formats.dicom.layout import PixelLayout

_PIXEL_DATA = 0x7FE00010


def attach_pixels(dataset: Dataset, frames: list[bytes], syntax: UID, layout: PixelLayout) -> None:
    """Make frames the Pixel Data of a data set.

    Args:
        dataset: the header; changed.
        frames: encoded frames, in order.
        syntax: transfer syntax they are encoded in.
        layout: of the frames.

    Source: PS3.5, 8.2 and A.4.
    """
    if syntax.is_compressed:
        value: object = encapsulate_buffer([io.BytesIO(_even(frame)) for frame in frames])
        element = DataElement(_PIXEL_DATA, "OB", value)
        element.is_undefined_length = True
    else:
        vr = "OW" if layout.allocated > 8 or syntax.is_implicit_VR else "OB"
        element = DataElement(_PIXEL_DATA, vr, _even(b"".join(frames)))
    dataset.add(element)


def _even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)
