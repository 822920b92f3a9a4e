"""Writing derived images: a file for each file of the source, renamed when complete."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

from pydicom.dataset import Dataset

from ratcli.errors import OutputError
from ratcli.formats.atomic import PartialFile, PartialFolder, output_errors, refuse_input
from ratcli.formats.closing import FinishingWriter
from ratcli.formats.dicom.codec import encode, output_syntax
from ratcli.formats.dicom.derive import derive_header, file_meta, set_layout
from ratcli.formats.dicom.elements import quiet_pydicom
from ratcli.formats.dicom.enhanced import is_enhanced, set_frame_slopes
from ratcli.formats.dicom.files import guarded
from ratcli.formats.dicom.frame_facts import value_map
from ratcli.formats.dicom.frames import FrameFile
from ratcli.formats.dicom.layout import PixelLayout
from ratcli.formats.dicom.pixels import FrameStore
from ratcli.formats.dicom.reader import DicomReader
from ratcli.formats.dicom.replaced import Origin, file_names, strangers
from ratcli.formats.dicom.restored import (
    StoredPlane,
    follow_slopes,
    may_be_negative,
    output_layout,
    set_signed_padding,
    store_colour,
    store_gray,
    store_rescaled,
)
from ratcli.formats.dicom.slide_reader import SlideReader
from ratcli.formats.dicom.slide_writer import SlideWriter
from ratcli.formats.dicom.uncertainty import (
    describe_uncertainty,
    holds_uncertainty,
    refuse_colour,
    shown_as_white,
)
from ratcli.formats.dicom.values import ValueMap
from ratcli.formats.tiling import TileAssembly, TileGrid, box_to_fill
from ratcli.scan import Box, Derivation, FloatArray, ScanReader


class DicomWriter(FinishingWriter):
    """A derived series, or a derived multi-frame object, being written.

    Args:
        reader: the source.
        path: the final name: a folder if the source has several files, else a file.
        derivation: what was done.
        overwrite: whether an existing file or folder of that name may be replaced.

    Raises:
        OutputError: the name is taken or is the source's, the folder cannot be written, or
            an uncertainty of colours was asked for.
    """

    def __init__(
        self, reader: DicomReader, path: Path, derivation: Derivation, *, overwrite: bool
    ) -> None:
        refuse_input(path, [source.path for source in reader.sources])
        refuse_colour(derivation, reader.info.channels)
        self._reader, self._derivation = reader, derivation
        info = reader.info
        height, width = info.height * derivation.scale, info.width * derivation.scale
        self._shape = (info.channels, height, width)
        self._assembly = TileAssembly(TileGrid(height, width, height, width), info.planes)
        self._stores: dict[int, FrameStore] = {}
        self._slopes: dict[int, str | None] = {}
        self._tops: dict[int, float] = {}
        self._negative = {
            source.path: may_be_negative(
                source.layout,
                [reader.planes[plane].values for plane in reader.planes_of(number)],
                derivation,
            )
            for number, source in enumerate(reader.sources)
        }
        self._names = file_names([source.path for source in reader.sources])
        self._partial: PartialFile | PartialFolder
        if len(reader.sources) > 1:
            files = {source.path: source.file for source in reader.sources}
            self._partial = PartialFolder(
                path,
                overwrite=overwrite,
                strangers=partial(strangers, origin=Origin(list(files), files)),
            )
        else:
            self._partial = PartialFile(path, overwrite=overwrite)

    def write(self, plane: int, values: FloatArray, box: Box | None = None) -> None:
        """Write a plane, or a box of it; a file is saved when its last frame is whole.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        box = box_to_fill(values, box, self._shape)
        for whole in self._assembly.add(plane, box, values.transpose(1, 2, 0)):
            self._write_plane(plane, whole.values.transpose(2, 0, 1))

    def finish(self) -> None:
        """Give the file or folder its name; every file in it was saved before."""
        if not self._assembly.is_whole:
            raise ValueError("a scan was closed before all of its planes were written")
        self._partial.commit()

    def discard(self) -> None:
        """Remove unfinished files and stored frames."""
        for store in self._stores.values():
            store.close()
        self._partial.discard()

    def _write_plane(self, plane: int, whole: FloatArray) -> None:
        place = self._reader.planes[plane]
        source = self._reader.sources[place.source]
        stored = self._store(plane, whole, source)
        data = encode(stored.words, output_syntax(source.file.syntax), self._layout(source))
        self._slopes[plane] = stored.slope
        if holds_uncertainty(self._derivation):
            self._tops[plane] = shown_as_white(whole)
        store = self._store_of(place.source, source)
        with output_errors(self._partial.final):
            store.add(place.frame, data)
        if store.complete:
            self._save(place.source, source)

    def _store(self, plane: int, values: FloatArray, source: FrameFile) -> StoredPlane:
        out = self._layout(source)
        if source.layout.samples > 1:
            return store_colour(values, out)
        store = store_rescaled if self._is_rescaled(source) else store_gray
        frame, value_map = self._reader.frame(plane), self._reader.planes[plane].values
        return store(values[0], frame, value_map, source.layout, out)

    def _store_of(self, number: int, source: FrameFile) -> FrameStore:
        if number not in self._stores:
            syntax, folder = output_syntax(source.file.syntax), self._partial.final.parent
            with output_errors(self._partial.final):
                self._stores[number] = FrameStore(self._layout(source), syntax, folder)
        return self._stores[number]

    def _layout(self, source: FrameFile) -> PixelLayout:
        return output_layout(
            source.layout,
            scale=self._derivation.scale,
            compressed=output_syntax(source.file.syntax).is_compressed,
            rescaled=self._is_rescaled(source),
            negative=self._negative[source.path],
        )

    def _is_rescaled(self, source: FrameFile) -> bool:
        """Return whether each plane gets a new slope: for PET and for standard deviations."""
        fits = self._reader.info.modality == "PT" or holds_uncertainty(self._derivation)
        return fits and source.layout.samples == 1

    def _save(self, number: int, source: FrameFile) -> None:
        """Write a file once all its frames are there."""
        store, syntax = self._stores.pop(number), output_syntax(source.file.syntax)
        planes = self._reader.planes_of(number)
        with guarded(source.path, "the header"):
            dataset = derive_header(source, self._derivation)
            layout = self._layout(source)
            set_layout(dataset, layout)
            if layout.signed != source.layout.signed:
                set_signed_padding(dataset)
            _set_slopes(dataset, source, [self._slopes[plane] for plane in planes])
            if holds_uncertainty(self._derivation):
                describe_uncertainty(dataset, max(self._tops[plane] for plane in planes))
            dataset.file_meta = file_meta(dataset, syntax)
        target = self._partial.path
        if isinstance(self._partial, PartialFolder):
            target = target / self._names[number]
        with _saving(source, self._partial.final):
            store.save(dataset, target)
        store.close()


def create_series(
    reader: ScanReader, path: Path, derivation: Derivation, *, overwrite: bool
) -> DicomWriter | SlideWriter:
    """Begin a derived series or slide, see `ratcli.formats.create_scan`."""
    if isinstance(reader, SlideReader):
        return SlideWriter(reader, path, derivation, overwrite=overwrite)
    return DicomWriter(cast(DicomReader, reader), path, derivation, overwrite=overwrite)


@contextlib.contextmanager
def _saving(source: FrameFile, final: Path) -> Iterator[None]:
    """Separate errors of a header that cannot be written from errors of the disk."""
    failed: OutputError | None = None
    with guarded(source.path, "the header"):
        try:
            with output_errors(final), quiet_pydicom():
                yield
        except OutputError as error:
            failed = error
    if failed is not None:
        raise failed


def _set_slopes(dataset: Dataset, source: FrameFile, slopes: list[str | None]) -> None:
    """Write the new slopes, if there are any."""
    if all(slope is None for slope in slopes):
        return
    header = source.file.dataset
    old = [value_map(header, frame, source.layout) for frame in range(len(slopes))]
    follow_slopes(dataset, [item or ValueMap() for item in old], slopes)
    if is_enhanced(dataset):
        set_frame_slopes(dataset, slopes)
    else:
        dataset.RescaleSlope, dataset.RescaleIntercept = slopes[0], "0"
