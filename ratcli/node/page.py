"""A page, `/status` and `/metrics` on this machine: what the node does, read only.

Source: the text format of Prometheus, version 0.0.4.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ratcli.batch.closing import Closing
from ratcli.errors import UsageError
from ratcli.node.events import METRICS, Events
from ratcli.node.queue import Queue

LOOPBACK = "127.0.0.1"


class Page(Closing):
    """Answers requests until it is closed.

    Args:
        port: where; 0 for any that is free.
        queue: the queue that is shown.
        events: the figures that are shown.

    Raises:
        UsageError: the port cannot be used.
    """

    def __init__(self, port: int, queue: Queue, events: Events) -> None:
        self._queue, self._events = queue, events
        page = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                return None

        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), Answer)
        except OSError as error:
            raise UsageError(
                f"port {port} of {LOOPBACK} cannot be used for the page",
                hint="Choose another page-port in node.toml.",
            ) from error
        threading.Thread(target=self._server.serve_forever, name="rat-page", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def close(self, error: BaseException | None = None) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request for `/`, `/status` or `/metrics`."""
        contents = {
            "/": ("text/html", self._html),
            "/status": ("application/json", self._json),
            "/metrics": ("text/plain; version=0.0.4", self._metrics),
        }
        if request.path not in contents:
            request.send_error(404)
            return
        kind, content = contents[request.path]
        body = content().encode()
        request.send_response(200)
        request.send_header("Content-Type", f"{kind}; charset=utf-8")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _json(self) -> str:
        failed = {entry.key: entry.reason for entry in self._queue.entries("failed")}
        series, waiting = self._queue.counts(), self._queue.waiting()
        figures = self._events.figures()
        return json.dumps(
            {"series": series, "waiting": waiting, "failed": failed, "since_start": figures}
        )

    def _metrics(self) -> str:
        return "\n".join([*self._metric_lines(), ""])

    def _metric_lines(self) -> Iterator[str]:
        yield "# HELP rat_series Series in the queue.\n# TYPE rat_series gauge"
        for state, count in self._queue.counts().items():
            yield f'rat_series{{state="{state}"}} {count}'
        yield "# HELP rat_waiting Series that a destination is still to get."
        yield "# TYPE rat_waiting gauge"
        for name, count in self._queue.waiting().items():
            yield f'rat_waiting{{destination="{_label(name)}"}} {count}'
        for metric, value in self._events.figures().items():
            yield f"# HELP rat_{metric} {METRICS[metric]}\n# TYPE rat_{metric} counter"
            yield f"rat_{metric} {value:.10g}"

    def _html(self) -> str:
        figures = self._events.figures()
        planes = figures["planes_restored_total"]
        rows = {
            **{f"series {state}": count for state, count in self._queue.counts().items()},
            **{f"to send to {name}": count for name, count in self._queue.waiting().items()},
            **{METRICS[metric].rstrip("."): f"{value:.6g}" for metric, value in figures.items()},
            "Seconds for each plane": f"{figures['restoring_seconds_total'] / max(1, planes):.3g}",
            **{entry.key: entry.reason for entry in self._queue.entries("failed")},
        }
        cells = (f"<tr><td>{escape(n)}<td>{escape(str(value))}" for n, value in rows.items())
        head = '<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="10">'
        return f"{head}<title>rat serve</title><h1>rat serve</h1><table>{''.join(cells)}</table>\n"


def _label(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
