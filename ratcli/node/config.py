"""Reads `node.toml` and checks it as a whole, before anything is received."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ratcli.commands.options import check_name, check_settings, described
from ratcli.commands.restore import check_outputs, joined, restore_selection, restore_works
from ratcli.commands.restore_options import RestoreOptions
from ratcli.commands.scans import BatchOptions
from ratcli.errors import InputNotFoundError, UsageError
from ratcli.node.settings import (
    Caller,
    Destination,
    NodeConfig,
    NodeSettings,
    Route,
    RoutePatterns,
)
from ratcli.schema import read_toml

_TABLES = ("caller", "destination", "route")
_NOT_OF_A_ROUTE = {"recursive", "series_uid", "report"} | {f.name for f in fields(BatchOptions)}

_Table = TypeVar("_Table")


def read_config(path: Path) -> NodeConfig:
    """Return what a `node.toml` says.

    Raises:
        InputNotFoundError: the file does not exist.
        UsageError: a setting is wrong, or the settings contradict each other.
    """
    if not path.exists():
        raise InputNotFoundError(f"{path.name} does not exist")
    content = read_toml(path)
    tables = {name: _tables(content.pop(name, []), name) for name in _TABLES}
    node = _read(NodeSettings, content, path.name)
    callers = tuple(_read(Caller, table, "a caller") for table in tables["caller"])
    destinations = tuple(_destination(table) for table in tables["destination"])
    routes = tuple(_route(table, destinations) for table in tables["route"])
    _check_names("destination", [each.name for each in destinations])
    _check_names("route", [route.patterns.name for route in routes])
    _check_node(node, callers)
    return NodeConfig(node, callers, destinations, routes)


def _tables(value: Any, name: str) -> list[dict[str, Any]]:
    if isinstance(value, list) and all(isinstance(table, dict) for table in value):
        return value
    raise UsageError(f"'{name}' is not a list of tables", hint=f"Write [[{name}]] above each.")


def _read(kind: type[_Table], table: Mapping[str, Any], where: str) -> _Table:
    return kind(**check_settings(table, described(kind), where))


def _destination(table: Mapping[str, Any]) -> Destination:
    found = _read(Destination, table, "a destination")
    if sum(map(bool, (found.address, found.url, found.folder))) != 1:
        raise UsageError(
            f"the destination '{found.name}' needs one of address, url and folder",
            hint="Give an address and an ae-title for DICOM, a url for DICOMweb.",
        )
    if found.commitment and not found.address:
        raise UsageError(f"the destination '{found.name}' is no DICOM node that could commit")
    if found.address and not found.ae_title:
        raise UsageError(f"the destination '{found.name}' has an address but no ae-title")
    return found


def _route(table: Mapping[str, Any], destinations: Sequence[Destination]) -> Route:
    """Read a route: its patterns, and for all else the options of `rat restore`."""
    of_patterns = {each.word for each in described(RoutePatterns)}
    own = {name: v for name, v in table.items() if name.replace("_", "-") in of_patterns}
    patterns = _read(RoutePatterns, own, "a route")
    where = f"the route '{patterns.name}'"
    if not patterns.to:
        raise UsageError(f"{where} has no destination", hint="Name one or more with `to`.")
    for name in patterns.to:
        check_name("destination", name, [each.name for each in destinations])
    known = [each for each in described(RestoreOptions) if each.name not in _NOT_OF_A_ROUTE]
    others = {name: value for name, value in table.items() if name not in own}
    options = RestoreOptions(**check_settings(others, known, where))
    try:
        works = restore_works(options)
        for work in works:
            check_outputs(options, work.settings)
    except UsageError as error:
        raise UsageError(f"{where}: {error}", hint=error.hint) from error
    return Route(patterns, joined(works), restore_selection(options, works))


def _check_names(what: str, names: Sequence[str]) -> None:
    if not names or "" in names:
        raise UsageError(f"node.toml needs a [[{what}]] with a name")
    if len({*names}) < len(names):
        raise UsageError(f"two {what}s have the same name")


def _check_node(node: NodeSettings, callers: Sequence[Caller]) -> None:
    from ratcli.batch.memory import parse_bytes

    for size in (node.largest_object, node.free_space, node.keep_size):
        parse_bytes(size or "0")
    for caller in callers:
        _check_network(caller)
    if not callers and not _is_loopback(node.listen):
        raise UsageError(
            f"listen is {node.listen}, so that other machines can send, but no caller is named",
            hint="Add a [[caller]] for each machine that may.",
        )
    if bool(node.tls_certificate) != bool(node.tls_key):
        raise UsageError("tls-certificate and tls-key are needed together")


def _check_network(caller: Caller) -> None:
    try:
        ipaddress.ip_network(caller.address or "0.0.0.0/0")
    except ValueError as error:
        raise UsageError(
            f"the address '{caller.address}' of a caller is not an IP address or network",
            hint="Write it as 10.1.2.3 or 10.1.0.0/16.",
        ) from error


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
