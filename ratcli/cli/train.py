"""`rat train` on the command line."""

from __future__ import annotations

import logging

from ratcli.cli.console import ConsoleOptions, say
from ratcli.cli.parameters import Verb, app_of
from ratcli.cli.training import TrainConsole, profile_table
from ratcli.commands.train import train
from ratcli.commands.train_options import TrainOptions

LOG = logging.getLogger("ratcli.cli")


def _run(_: None, options: TrainOptions, console: ConsoleOptions) -> None:
    listener = TrainConsole(console)
    try:
        result = train(options, listener=listener)
    except KeyboardInterrupt:
        if listener.last is not None:
            LOG.warning("stopped at step %d; --resume last continues", listener.last.step)
        raise
    if result.weights is not None:
        name = result.weights.stem
        LOG.info("%s is written; use it with rat restore --weights %s", result.weights.name, name)
        say(str(result.weights))
    elif result.seconds:
        say(profile_table(result.seconds))
    else:
        LOG.info("step %d is saved in %s", result.steps, result.folder.name)


app = app_of(
    Verb(
        TrainOptions,
        _run,
        "Train a network on scans of full quality or on pairs, or tune an installed one. "
        "No patient is used both for training and for validation.",
        (
            ("rat train --recipe ct-denoise --data scans -o runs/ct", "a recipe of rat"),
            ("rat train --recipe own.toml --data scans -o runs/own", "your own recipe"),
            ("rat train --data scans -o runs/ct --resume last", "continues a run"),
            ("rat train -t ct-denoise --data study -o runs/own", "from pairs of scans"),
            ("rat train -t ct-denoise --from ct-denoise --data study -o runs/own", "tunes"),
            ("rat train -o runs/own --publish my-ct", "for rat restore --weights my-ct"),
            ("torchrun --nproc-per-node 4 --no-python rat train ...", "four GPUs"),
        ),
        argument=None,
        has_config_file=False,
    )
)
