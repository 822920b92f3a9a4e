"""Ways to and from a node other than a plain C-STORE: folders, TLS, DICOMweb, commitment."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pydicom
import pytest
from node_runs import (
    Archive,
    ct_series,
    listening,
    running,
    save,
    send,
    state_of,
    wait_until,
    write_config,
)
from pydicom.uid import JPEGLSLossless
from pynetdicom import AE, build_role, evt

from ratcli.commands.serve import ServeOptions, queue_status, retry_failed

COMMITMENT = "1.2.840.10008.1.20.1"
CT = "1.2.840.10008.5.1.4.1.1.2"

pytestmark = [
    pytest.mark.usefixtures("tiny_weights"),
    # pynetdicom drops the socket of a connection that was refused without closing it
    pytest.mark.filterwarnings("ignore:unclosed <(ssl|socket):ResourceWarning"),
]


def with_destination(config: Path, lines: str) -> Path:
    """Replace the destination of a configuration."""
    head, _, rest = config.read_text().partition("[[destination]]")
    route = rest[rest.index("[[route]]") :]
    config.write_text(f'{head}[[destination]]\nname = "there"\n{lines}\n{route}')
    return config


def test_a_folder_is_emptied_and_the_results_are_copied_into_another(tmp_path: Path) -> None:
    watched = tmp_path / "in"
    save(ct_series("a"), watched / "scan")
    (watched / "notes.txt").write_text("not DICOM")
    config = write_config(tmp_path, 1, f'watch = "{watched}"\n')
    with running(with_destination(config, f'folder = "{tmp_path / "out"}"')):
        wait_until(lambda: state_of(tmp_path) == {"sent": 1})
    assert [path.name for path in watched.rglob("*") if path.is_file()] == ["notes.txt"]
    results = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")]
    assert sorted(int(image.InstanceNumber) for image in results) == [1, 2, 3]


def test_the_page_tells_figures_and_states(tmp_path: Path) -> None:
    with (
        listening(Archive()) as archive,
        running(write_config(tmp_path, archive.port, "page-port = 0\n")) as node,
    ):
        send(node.port, ct_series("a"))
        wait_until(lambda: state_of(tmp_path) == {"sent": 1})
        root = f"http://127.0.0.1:{node.page_port}"
        pages = {name: read(f"{root}/{name}") for name in ("", "status", "metrics")}
    assert json.loads(pages["status"])["series"]["sent"] == 1
    assert 'rat_series{state="sent"} 1' in pages["metrics"].splitlines()
    assert "rat_planes_restored_total 3" in pages["metrics"].splitlines()
    assert "<td>series sent<td>1" in pages[""]


def read(address: str) -> str:
    with urlopen(address, timeout=20) as answer:
        return str(answer.read().decode())


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names,
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return certificate, key


def test_associations_with_tls_need_a_certificate_and_do_not_wait_for_a_silent_caller(
    tmp_path: Path,
) -> None:
    certificate, key = make_certificate(tmp_path)
    head = f'tls-certificate = "{certificate}"\ntls-key = "{key}"\n'
    head += f'tls-authority = "{certificate}"\n'
    line = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    line.verify_mode = ssl.CERT_REQUIRED
    line.load_cert_chain(certificate, key)
    with listening(Archive(), line) as archive:
        config = write_config(tmp_path, archive.port, head)
        config.write_text(config.read_text().replace('"THERE"', '"THERE"\ntls = true'))
        with running(config) as node, socket.create_connection(("127.0.0.1", node.port)):
            caller = ssl.create_default_context(cafile=str(certificate))
            assert not is_accepted(node.port, None)
            assert not is_accepted(node.port, caller)
            caller.load_cert_chain(certificate, key)
            assert is_accepted(node.port, caller)
            send(node.port, ct_series("a"), tls=caller)
            wait_until(lambda: state_of(tmp_path) == {"sent": 1})
    assert len(archive.images) == 3


def is_accepted(port: int, context: ssl.SSLContext | None) -> bool:
    entity = AE("TEST")
    entity.add_requested_context(CT)
    entity.acse_timeout = entity.network_timeout = 5
    tls = None if context is None else (context, "127.0.0.1")
    association = entity.associate("127.0.0.1", port, tls_args=tls)
    try:
        return bool(association.is_established)
    finally:
        if association.is_established:
            association.release()


def test_a_destination_without_the_syntax_gets_objects_without_compression(
    tmp_path: Path,
) -> None:
    images = ct_series("a", 1)
    images[0].compress(JPEGLSLossless, generate_instance_uid=False)
    with (
        listening(Archive()) as archive,  # it takes uncompressed objects only
        running(write_config(tmp_path, archive.port)) as node,
    ):
        assert send(node.port, images, syntax=JPEGLSLossless) == [0]
        wait_until(lambda: state_of(tmp_path) == {"sent": 1})
    (image,) = archive.images.values()
    assert image.pixel_array.shape == (32, 32)
    assert not image.file_meta.TransferSyntaxUID.is_compressed


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_series_is_sent_when_the_destination_has_committed_to_it(
    is_whole: bool, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def act(event: Any) -> tuple[int, None]:
        asked.append(event.action_information)
        return 0x0000, None

    archive = Archive(handlers=[(evt.EVT_N_ACTION, act)])
    with listening(archive):
        config = write_config(tmp_path, archive.port)
        config.write_text(config.read_text().replace('"THERE"', '"THERE"\ncommitment = true'))
        with running(config) as node:
            send(node.port, ct_series("a"))
            wait_until(lambda: asked)
            assert {i.ReferencedSOPInstanceUID for i in asked[0].ReferencedSOPSequence} == {
                *archive.images
            }
            assert state_of(tmp_path) == {"restored": 1}
            report(node.port, asked[0].TransactionUID, 1 if is_whole else 2)
            if is_whole:
                wait_until(lambda: state_of(tmp_path) == {"sent": 1})
            else:
                wait_until(lambda: node.figures()["delivery_failures_total"])
                assert state_of(tmp_path) == {"restored": 1}


def report(port: int, transaction: str, kind: int) -> None:
    """Report about a storage commitment, in an association in which the caller is the provider."""
    entity = AE("THERE")
    entity.add_requested_context(COMMITMENT)
    role = build_role(COMMITMENT, scp_role=True)
    association = entity.associate("127.0.0.1", port, ext_neg=[role])
    assert association.is_established
    told = pydicom.Dataset()
    told.TransactionUID = transaction
    status, _ = association.send_n_event_report(told, kind, COMMITMENT, f"{COMMITMENT}.1")
    assert status.Status == 0
    association.release()


class _Web(BaseHTTPRequestHandler):
    """A DICOMweb service that keeps the bodies of requests."""

    bodies: list[bytes]
    answer: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.answer == 200:
            self.bodies.append(self.headers["Authorization"].encode() + body)
        self.send_response(self.answer)
        self.send_header("Content-Type", "application/dicom+json")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        return None


@contextmanager
def web(answer: int) -> Iterator[tuple[int, list[bytes]]]:
    handler = type("Handler", (_Web,), {"bodies": [], "answer": answer})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], handler.bodies
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("answer", "state"), [(200, "sent"), (503, "restored"), (409, "failed")])
def test_a_web_service_gets_results(answer: int, state: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret-token\n")
    with web(answer) as (port, bodies):
        lines = f'url = "http://127.0.0.1:{port}/dicom-web"\ntoken-file = "{tmp_path}/token"'
        config = with_destination(write_config(tmp_path, 1, "refusals = 1\n"), lines)
        with running(config) as node:
            send(node.port, ct_series("a", 2))
            wait_until(lambda: state_of(tmp_path) == {state: 1})
            if answer == 503:
                wait_until(lambda: node.figures()["delivery_failures_total"])
    assert [body.startswith(b"Bearer secret-token") for body in bodies] == [True] * len(bodies)
    assert len(bodies) == (2 if answer == 200 else 0)


def test_series_that_failed_are_restored_when_they_are_put_back(tmp_path: Path) -> None:
    archive = Archive(status=0xC000)
    with listening(archive):
        config = write_config(tmp_path, archive.port, "refusals = 1\n")
        options = ServeOptions(settings=config)
        with running(config) as node:
            send(node.port, ct_series("a"))
            wait_until(lambda: state_of(tmp_path) == {"failed": 1})
            assert "status C000" in queue_status(options).failed[0].reason
            archive.status = 0
            assert retry_failed(options) == 1
            wait_until(lambda: state_of(tmp_path) == {"sent": 1})
    assert len(archive.images) == 3
