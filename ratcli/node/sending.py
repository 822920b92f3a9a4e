"""Sends files to a destination: by C-STORE, by STOW-RS, or into a folder.

Source: PS3.4, B.2 (storage) and J.3 (storage commitment); PS3.18, 10.5 (store transaction).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config
from pynetdicom.association import Association

from ratcli.errors import OutputError, RatError
from ratcli.formats.atomic import PartialFile
from ratcli.node.settings import Destination, NodeSettings
from ratcli.node.tls import client_context

COMMITMENT, _COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 10.0
_NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


class UnreachableError(RatError):
    """A destination cannot be reached, or has no room now: try again."""


class DestinationRefusedError(RatError):
    """A destination does not want an object."""


class Carrier(Protocol):
    """A way to a destination."""

    def send(self, files: Sequence[Path]) -> None:
        """Send the files of a series; those that the destination has are sent again.

        Raises:
            UnreachableError: the destination cannot be reached, or has no room.
            DestinationRefusedError: it does not want an object.
        """

    def ask_commitment(self, files: Sequence[Path], transaction: str) -> None:
        """Ask the destination to commit to the storage of files; it reports to the server.

        Raises:
            UnreachableError: the destination cannot be reached.
            DestinationRefusedError: it does not commit.
        """


def carrier_of(destination: Destination, node: NodeSettings) -> Carrier:
    """Return the way to a destination.

    Raises:
        UsageError: certificates cannot be read.
    """
    if destination.folder is not None:
        return FolderCarrier(destination.folder)
    if destination.url:
        return WebCarrier(destination)
    return AssociationCarrier(destination, node)


class _NoCommitment:
    """A way to a destination that is not asked to commit, because its answer is final."""

    def ask_commitment(self, files: Sequence[Path], transaction: str) -> None:
        """Do nothing; the settings refuse commitment for such a destination."""


class FolderCarrier(_NoCommitment):
    """Copies files into a folder, with a folder for each series."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, files: Sequence[Path]) -> None:
        """Copy files; see `Carrier.send`."""
        for file in files:
            header = pydicom.dcmread(file, specific_tags=["SeriesInstanceUID"])
            try:
                partial = PartialFile(
                    self._folder / str(header.SeriesInstanceUID) / file.name, overwrite=True
                )
                partial.path.write_bytes(file.read_bytes())
                partial.commit()
            except (OSError, OutputError) as error:
                raise UnreachableError("the folder cannot be written") from error


class WebCarrier(_NoCommitment):
    """Sends files by STOW-RS."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def send(self, files: Sequence[Path]) -> None:
        """Send files, each in a request of its own; see `Carrier.send`."""
        import requests
        from dicomweb_client import DICOMwebClient

        headers = {}
        if self._destination.token_file is not None:
            token = self._destination.token_file.read_text(encoding="utf-8").strip()
            headers["Authorization"] = f"Bearer {token}"
        client = DICOMwebClient(self._destination.url, headers=headers)
        client.set_http_retry_params(retry=False)  # the queue tries again
        for file in files:
            try:
                answer = client.store_instances([pydicom.dcmread(file)])
            except requests.HTTPError as error:
                raise _of_http(error) from error
            except requests.RequestException as error:
                raise UnreachableError("the service cannot be reached") from error
            if answer.get("FailedSOPSequence"):
                raise DestinationRefusedError("the service did not store an object")


def _of_http(error: Any) -> RatError:
    code = error.response.status_code if error.response is not None else 0
    if 400 <= code < 500 and code not in (401, 403, 408, 429):
        return DestinationRefusedError(f"the service answered {code}")
    return UnreachableError(f"the service answered {code}")


class AssociationCarrier:
    """Sends files by C-STORE, all in one association.

    Args:
        destination: the other node.
        node: this node.
    """

    def __init__(self, destination: Destination, node: NodeSettings) -> None:
        self._destination, self._node = destination, node
        self._tls = client_context(node) if destination.tls else None

    def send(self, files: Sequence[Path]) -> None:
        """Send files; see `Carrier.send`."""
        _config.STORE_SEND_CHUNKED_DATASET = True
        contexts: list[tuple[str, Any]] = []
        for sop_class, syntax in sorted({_kind(file) for file in files}):
            # A context for itself, so that the other node cannot choose another syntax.
            contexts += [(sop_class, syntax), (sop_class, _NATIVE)]
        with self._associated(contexts) as association:
            for file in files:
                _store(association, file)

    def ask_commitment(self, files: Sequence[Path], transaction: str) -> None:
        """Send a request for commitment; see `Carrier.ask_commitment`."""
        request = Dataset()
        request.TransactionUID = transaction
        request.ReferencedSOPSequence = [_reference(file) for file in files]
        with self._associated([(COMMITMENT, _NATIVE)]) as association:
            if not association.accepted_contexts:
                raise DestinationRefusedError("the node offers no storage commitment")
            status, _ = association.send_n_action(request, 1, COMMITMENT, _COMMITMENT_INSTANCE)
            if "Status" not in status:
                raise UnreachableError("the association ended before the answer")
            if status.Status:
                raise DestinationRefusedError(f"the node does not commit: {status.Status:04X}")

    @contextmanager
    def _associated(self, contexts: Sequence[tuple[str, Any]]) -> Iterator[Association]:
        to = self._destination
        entity = AE(self._node.ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT_S
        entity.connection_timeout = CONNECT_TIMEOUT_S
        for sop_class, syntax in contexts:
            entity.add_requested_context(sop_class, syntax)
        association = entity.associate(
            to.address, to.port, ae_title=to.ae_title,
            tls_args=None if self._tls is None else (self._tls, to.address),
        )  # fmt: skip
        if association.is_rejected:
            raise UnreachableError("the association was rejected")
        if not association.is_established:
            raise UnreachableError("no association could be made")
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


def _reference(file: Path) -> Dataset:
    meta = pydicom.filereader.read_file_meta_info(file)
    item = Dataset()
    item.ReferencedSOPClassUID = meta.MediaStorageSOPClassUID
    item.ReferencedSOPInstanceUID = meta.MediaStorageSOPInstanceUID
    return item


def _kind(file: Path) -> tuple[str, str]:
    meta = pydicom.filereader.read_file_meta_info(file)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


def _store(association: Association, file: Path) -> None:
    sop_class, syntax = _kind(file)
    accepted = [c for c in association.accepted_contexts if c.abstract_syntax == sop_class]
    if not accepted:
        raise DestinationRefusedError(f"the node does not take {UID(sop_class).name}")
    is_same = any(syntax in context.transfer_syntax for context in accepted)
    try:
        status = association.send_c_store(file if is_same else _decompressed(file))
    except RuntimeError as error:
        raise UnreachableError("the association ended") from error
    except ValueError as error:
        raise DestinationRefusedError("the node takes no syntax of the object") from error
    if "Status" not in status:
        raise UnreachableError("the association ended before the answer")
    code = int(status.Status)
    if code & 0xFF00 == 0xA700:
        raise UnreachableError("the node has no room")
    if code and code & 0xF000 != 0xB000:
        raise DestinationRefusedError(f"the node answered with status {code:04X}")


def _decompressed(file: Path) -> Dataset:
    dataset = pydicom.dcmread(file)
    if UID(dataset.file_meta.TransferSyntaxUID).is_compressed:
        dataset.decompress(generate_instance_uid=False)
    return dataset
