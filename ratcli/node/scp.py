"""Receives objects by C-STORE and answers C-ECHO.

Source: PS3.4, B.2 (storage service class); PS3.7, C.5 (status codes); PS3.8, 9.3.4 (rejections).
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    EnhancedPETImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    PositronEmissionTomographyImageStorage,
    VLWholeSlideMicroscopyImageStorage,
)
from pynetdicom import AE, _config, dimse_messages, evt

from ratcli.batch.closing import Closing
from ratcli.batch.memory import parse_bytes
from ratcli.errors import UsageError
from ratcli.formats.dicom.codec import READABLE_COMPRESSED
from ratcli.node.arrival import RefusedError, matches
from ratcli.node.events import Events, log
from ratcli.node.inbox import Inbox, no_room
from ratcli.node.incoming import IncomingFile, is_dropped
from ratcli.node.sending import COMMITMENT
from ratcli.node.settings import Caller, NodeConfig
from ratcli.node.tls import server_context

if TYPE_CHECKING:
    from pynetdicom.transport import ThreadedAssociationServer

CLASSES = (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    PositronEmissionTomographyImageStorage,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    VLWholeSlideMicroscopyImageStorage,
)
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    *READABLE_COMPRESSED,
]
VERIFICATION = "1.2.840.10008.1.1"
TIMEOUT_S = 60.0
_NOT_RECOGNISED = (0x01, 0x01, 0x03)  # rejected permanently; by the user; calling AE title


class Server(Closing):
    """Listens for associations until it is closed.

    Args:
        config: the settings.
        inbox: takes the objects.
        events: counts them.
        committed: is called with the UID of a request for storage commitment, and whether all of
            it was committed to.

    Raises:
        UsageError: the address or the port cannot be used.
    """

    def __init__(
        self,
        config: NodeConfig,
        inbox: Inbox,
        events: Events,
        committed: Callable[[str, bool], None],
    ) -> None:
        self._config, self._inbox, self._events = config, inbox, events
        self._committed = committed
        self._most_bytes = parse_bytes(config.node.largest_object)
        self._sizes: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._server = self._listen()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def close(self, error: BaseException | None = None) -> None:
        """Stop listening, and end the associations that there are."""
        self._server.ae.shutdown()

    def _listen(self) -> ThreadedAssociationServer:
        # Objects are written to the disk as they come, in the folder from which they are moved.
        _config.STORE_RECV_CHUNKED_DATASET = True
        file = partial(IncomingFile, self._inbox.temporary, self._inbox.has_room)
        vars(dimse_messages)["NamedTemporaryFile"] = file
        node = self._config.node
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, self._admit),
            (evt.EVT_PDU_RECV, self._measure),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self._report),
            (evt.EVT_CONN_CLOSE, _discard),
        ]
        try:
            server = self._entity().start_server(
                (node.listen, node.port), block=False, evt_handlers=handlers,
                ssl_context=server_context(node),
            )  # fmt: skip
        except OSError as error:
            reason = (error.strerror or "unknown reason").lower()
            raise UsageError(
                f"port {node.port} of {node.listen} cannot be used: {reason}",
                hint="Choose another port in node.toml.",
            ) from error
        assert server is not None
        return server

    def _entity(self) -> AE:
        node = self._config.node
        entity = AE(node.ae_title)
        entity.maximum_associations = node.associations
        entity.maximum_pdu_size = node.pdu_bytes
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT_S
        entity.add_supported_context(VERIFICATION)
        # The archive calls to report about its commitment, so the caller is the provider.
        entity.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
        for sop_class in CLASSES:
            entity.add_supported_context(sop_class, SYNTAXES)
        return entity

    def _admit(self, event: Any) -> None:
        """Reject a caller that is not listed."""
        requestor = event.assoc.requestor
        calling = requestor.primitive.calling_ae_title
        callers = self._config.callers
        if not callers or any(_is(caller, calling, requestor.address) for caller in callers):
            return
        self._events.count("associations_refused_total")
        log(logging.WARNING, "association refused", address=requestor.address)
        event.assoc.acse.send_reject(*_NOT_RECOGNISED)
        event.assoc.is_rejected = True
        event.assoc.kill()

    def _measure(self, event: Any) -> None:
        """End an association that sends an object which is too large."""
        if event.pdu.pdu_type != 0x04:
            return
        association = event.assoc
        # The first bit of each fragment says whether it is of a command, which begins an object.
        values = event.pdu.presentation_data_value_items
        if any(item.presentation_data_value[0] & 1 for item in values):
            self._sizes[association] = 0
        self._sizes[association] = self._sizes.get(association, 0) + event.pdu.pdu_length
        if self._sizes[association] > self._most_bytes and not association.is_aborted:
            self._events.count("objects_refused_total")
            log(logging.WARNING, "association ended", reason="an object is too large")
            association.acse.send_abort(0x00)
            association.is_aborted, association.is_established = True, False

    def _store(self, event: Any) -> Dataset:
        """Store an object, and answer when it is safe."""
        status = Dataset()
        request = event.assoc.requestor.primitive
        calling, called = str(request.calling_ae_title), str(request.called_ae_title)
        instance = str(event.request.AffectedSOPInstanceUID)
        try:
            if is_dropped(event.dataset_path):
                raise no_room()
            key = self._inbox.store(event.dataset_path, calling, called, instance)
        except RefusedError as error:
            self._events.count("objects_refused_total")
            log(logging.WARNING, "object refused", reason=error, status=f"{error.status:04X}")
            status.Status, status.ErrorComment = error.status, str(error)[:64]
            return status
        self._events.count("objects_received_total")
        log(logging.DEBUG, "object received", series=key)
        status.Status = 0x0000
        return status

    def _report(self, event: Any) -> tuple[int, None]:
        """Hear what an archive committed to; event type 1 is all of the request."""
        self._committed(str(event.event_information.TransactionUID), event.event_type == 1)
        return 0x0000, None


def _discard(event: Any) -> None:
    """Remove what came of an object whose association ended before all of it was there."""
    file = getattr(event.assoc.dimse.message, "_data_set_file", None)
    if file is not None:
        file.close()
        Path(file.name).unlink(missing_ok=True)


def _is(caller: Caller, ae_title: str, address: str) -> bool:
    if caller.address and ipaddress.ip_address(address) not in ipaddress.ip_network(caller.address):
        return False
    return matches(ae_title, caller.ae_title)
