"""TLS for associations: version 1.2 or later, with forward secrecy and authenticated encryption.

Source: PS3.15, B.12 (non-downgrading BCP 195 profile).
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

from ratcli.errors import UsageError
from ratcli.node.settings import NodeSettings

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"


class _Patient(ssl.SSLContext):
    """A context of a server: each association makes its handshake in its own thread.

    pynetdicom would make it where it listens, and one silent caller would hold up all others.
    """

    def wrap_socket(self, sock: socket.socket, *words: Any, **options: Any) -> ssl.SSLSocket:
        """Wrap a socket; the handshake comes with the first bytes that are read."""
        options["do_handshake_on_connect"] = False
        return super().wrap_socket(sock, *words, **options)


def server_context(node: NodeSettings) -> ssl.SSLContext | None:
    """Return how callers are met; None without a certificate."""
    if node.tls_certificate is None:
        return None
    context = _prepared(_Patient(ssl.PROTOCOL_TLS_SERVER), node)
    if node.tls_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(node: NodeSettings) -> ssl.SSLContext:
    """Return how destinations are met: their certificate and its host name are checked."""
    context = _prepared(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), node)
    if node.tls_authority is None:
        context.load_default_certs()
    return context


def _prepared(context: ssl.SSLContext, node: NodeSettings) -> ssl.SSLContext:
    """Set what both sides share.

    Raises:
        UsageError: a file is missing or is not PEM.
    """
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    try:
        if node.tls_certificate is not None:
            context.load_cert_chain(node.tls_certificate, node.tls_key)
        if node.tls_authority is not None:
            context.load_verify_locations(node.tls_authority)
    except OSError as error:  # also ssl.SSLError
        raise UsageError(
            "a certificate or key cannot be read",
            hint="tls-certificate, tls-key and tls-authority have to be files in PEM.",
        ) from error
    return context
