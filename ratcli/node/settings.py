"""What `node.toml` may say: the node, who may call it, what is restored how, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ratcli.commands.options import option

if TYPE_CHECKING:
    from ratcli.batch.by_task import WorkByTask
    from ratcli.batch.plan import Selection
    from ratcli.batch.restoring import RestoreWork

PATTERN = "a pattern or a list of patterns, such as `CT*`"


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """The node itself: the settings above all tables."""

    folder: Path = option(Path("node"), "Folder of the queue and of the series in it.")
    ae_title: str = option("RAT", "Title of this node.")
    listen: str = option(
        "127.0.0.1", "Address to listen on. Any other than a loopback address needs a `[[caller]]`."
    )
    port: int = option(11112, "Port to listen on; 0 takes any that is free.", least=0, most=65535)
    quiet_seconds: float = option(
        30.0,
        "A series is complete when nothing of it came for this many seconds, or at once if its "
        "header has the number of its images.",
        least=0.1,
    )
    associations: int = option(10, "Associations at once; more are rejected.", least=1, most=1000)
    pdu_bytes: int = option(65536, "Largest PDU that is received.", least=4096, most=1 << 27)
    largest_object: str = option("4GB", "Larger objects end their association.")
    free_space: str = option(
        "2GB", "With less space than this on the disk, objects are refused with status A700."
    )
    most_waiting: int = option(
        1000,
        "With more series than this that are not sent yet, those of new series are refused with "
        "status A700.",
        least=1,
    )
    keep_days: float = option(7.0, "Series that were sent are deleted after this time.", least=0)
    keep_size: str = option(
        "", "Oldest sent series are deleted while the folder is larger than this, such as 500GB."
    )
    refusals: int = option(
        5, "A series fails when a destination refused it this many times.", least=1
    )
    page_port: int | None = option(
        None,
        "Port on 127.0.0.1 of the page, of `/status` and of `/metrics`. Without it there are none.",
        least=0, most=65535,
    )  # fmt: skip
    watch: Path | None = option(
        None, "Folder from which DICOM files are taken into the queue, and then removed."
    )
    tls_certificate: Path | None = option(
        None, "Certificate of this node in PEM. With it, only TLS associations are accepted."
    )
    tls_key: Path | None = option(None, "Private key of the certificate, in PEM.")
    tls_authority: Path | None = option(
        None,
        "Certificates in PEM that sign those of callers and destinations. With it, callers must "
        "have one.",
    )


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who may send: a `[[caller]]`. Without any, every program on a loopback address may."""

    ae_title: str = option("*", "AE title; a pattern such as `CT*`.")
    address: str = option("", "IP address or network, such as `10.1.0.0/16`; any if left out.")


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where results go: a `[[destination]]` with an address, a URL or a folder."""

    name: str = option("", "Name that routes use.")
    address: str = option("", "Host of a DICOM node.")
    port: int = option(104, "Port of a DICOM node.", least=1, most=65535)
    ae_title: str = option("", "Title of a DICOM node.")
    tls: bool = option(False, "Whether the association is made with TLS.")
    commitment: bool = option(
        False, "Whether the node is asked to commit to the storage of what was sent."
    )
    url: str = option("", "Address of a DICOMweb service, which gets results by STOW-RS.")
    token_file: Path | None = option(None, "File with the bearer token of a DICOMweb service.")
    folder: Path | None = option(None, "Folder into which results are copied.")


@dataclass(frozen=True, kw_only=True)
class RoutePatterns:
    """Which series a `[[route]]` is for, and where its results go; the first that fits is used."""

    name: str = option("", "Name of the route.")
    to: tuple[str, ...] = option((), "Names of destinations.")
    calling: tuple[str, ...] = option((), f"AE title of the caller; {PATTERN}.")
    called: tuple[str, ...] = option((), f"AE title that was called; {PATTERN}.")
    modality: tuple[str, ...] = option((), f"Modality; {PATTERN}.")
    body_part: tuple[str, ...] = option((), f"Body Part Examined; {PATTERN}.")
    protocol: tuple[str, ...] = option((), f"Protocol Name; {PATTERN}.")
    kernel: tuple[str, ...] = option((), f"Convolution Kernel; {PATTERN}.")


@dataclass(frozen=True)
class Route:
    """A route with what it does.

    Attributes:
        patterns: which series it is for, and its destinations.
        work: how they are restored.
        selection: what is written beside the restored scan.
    """

    patterns: RoutePatterns
    work: RestoreWork | WorkByTask
    selection: Selection


@dataclass(frozen=True)
class NodeConfig:
    """A whole `node.toml`."""

    node: NodeSettings
    callers: tuple[Caller, ...]
    destinations: tuple[Destination, ...]
    routes: tuple[Route, ...]
