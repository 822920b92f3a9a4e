"""`rat doctor` on the command line."""

from __future__ import annotations

import json

from ratcli.cli.console import ConsoleOptions, say
from ratcli.cli.parameters import NoOptions, Verb, app_of
from ratcli.commands.doctor import doctor


def _run(_: None, _options: NoOptions, console: ConsoleOptions) -> None:
    sections = doctor()
    if console.json:
        say(json.dumps(sections))
    else:
        for title, rows in sections.items():
            width = max(map(len, rows), default=0)
            say(title, *(f"  {key.ljust(width)}  {value}" for key, value in rows.items()))


app = app_of(
    Verb(
        NoOptions,
        _run,
        "Show what this machine offers: libraries, codecs, devices, memory, weights.",
        (("rat doctor", "what to send with a question"), ("rat doctor --json", "for a script")),
        argument=None,
    )
)
