"""Runs a node in a thread, with small series to send and a place that takes the results."""

from __future__ import annotations

import gc
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, evt

from ratcli.batch.interrupt import Interrupt
from ratcli.node.config import read_config
from ratcli.node.node import Node
from ratcli.node.queue import Queue

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ct_phantom.dcm"
SIZE = 32
HEAD = 'folder = "{folder}"\nport = 0\nquiet-seconds = 0.5\nfree-space = "1MB"\n'
ROUTE = '[[route]]\nname = "ct"\nto = "there"\ntask = "ct-denoise"\npartition = "none"\n'


def ct_series(name: str, count: int = 3, **changes: object) -> list[pydicom.Dataset]:
    """Return a CT series: small windows of the phantom, one below the other."""
    whole = pydicom.dcmread(EXAMPLE)
    pixels = whole.pixel_array
    images = []
    for number in range(count):
        image = deepcopy(whole)
        image.Rows = image.Columns = SIZE
        corner = 96 + 2 * number
        image.PixelData = pixels[corner : corner + SIZE, 96 : 96 + SIZE].tobytes()
        image.StudyInstanceUID = generate_uid(entropy_srcs=["study", name])
        image.SeriesInstanceUID = generate_uid(entropy_srcs=["series", name])
        image.SOPInstanceUID = generate_uid(entropy_srcs=["image", name, str(number)])
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.InstanceNumber = number + 1
        image.ImagePositionPatient = [0, 0, 2.5 * number]
        for keyword, value in changes.items():
            setattr(image, keyword, value)
        images.append(image)
    return images


def save(images: Sequence[pydicom.Dataset], folder: Path) -> list[Path]:
    """Write images to files, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.dcm" for number in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        image.save_as(path, enforce_file_format=True)
    return paths


def send(
    port: int,
    images: Sequence[pydicom.Dataset],
    *,
    syntax: str = ExplicitVRLittleEndian,
    tls: ssl.SSLContext | None = None,
) -> list[int]:
    """Send images, and return the status of each."""
    entity = AE("TEST")
    for sop_class in {str(image.SOPClassUID) for image in images}:
        entity.add_requested_context(sop_class, syntax)
    with_tls = None if tls is None else (tls, "127.0.0.1")
    association = entity.associate("127.0.0.1", port, tls_args=with_tls)
    assert association.is_established
    try:
        return [int(association.send_c_store(image).Status) for image in images]
    finally:
        association.release()


@dataclass
class Archive:
    """A place that takes what is sent to it.

    Attributes:
        port: where it listens.
        got: SOP instance UIDs in the order in which they came.
        images: the last object of each UID.
        status: what it answers.
        handlers: of other requests.
    """

    port: int = 0
    got: list[str] = field(default_factory=list)
    images: dict[str, pydicom.Dataset] = field(default_factory=dict)
    status: int = 0
    handlers: list[Any] = field(default_factory=list)

    def store(self, event: Any) -> int:
        image = event.dataset
        image.file_meta = event.file_meta
        if not self.status:
            self.got.append(str(image.SOPInstanceUID))
            self.images[str(image.SOPInstanceUID)] = image
        return self.status


@contextmanager
def listening(archive: Archive, tls: ssl.SSLContext | None = None) -> Iterator[Archive]:
    """Let an archive listen, on its port or on any that is free."""
    entity = AE("THERE")
    entity.supported_contexts = AllStoragePresentationContexts
    entity.add_supported_context("1.2.840.10008.1.20.1")
    handlers = [(evt.EVT_C_STORE, archive.store), *archive.handlers]
    server = entity.start_server(
        ("127.0.0.1", archive.port), block=False, evt_handlers=handlers, ssl_context=tls
    )
    archive.port = server.server_address[1]
    try:
        yield archive
    finally:
        entity.shutdown()


def write_config(folder: Path, port: int, head: str = "", route: str = ROUTE) -> Path:
    """Write the settings of a node with one destination."""
    there = f'[[destination]]\nname = "there"\naddress = "127.0.0.1"\nport = {port}\n'
    text = HEAD.format(folder=folder / "node") + head + there + 'ae-title = "THERE"\n' + route
    path = folder / "node.toml"
    path.write_text(text)
    return path


class _Stop(Interrupt):
    """Ends the work when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = threading.Event()

    def check(self) -> None:
        if self.wanted.is_set():
            raise KeyboardInterrupt


@contextmanager
def running(config: Path) -> Iterator[Node]:
    """Run a node."""
    stop = _Stop()
    with Node(read_config(config)) as node:

        def work() -> None:
            with suppress(KeyboardInterrupt):
                node.work(stop)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield node
        finally:
            stop.wanted.set()
            thread.join()
    gc.collect()  # sockets that pynetdicom drops: now, while their warning is ignored


def state_of(folder: Path) -> dict[str, int]:
    """Return how many series are in each state, of those in which there are any."""
    queue = Queue(folder / "node" / "queue.sqlite")
    try:
        return {state: count for state, count in queue.counts().items() if count}
    finally:
        queue.close()


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait for something; fail if it does not happen."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
