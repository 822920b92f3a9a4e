"""The command `rat`: finds a command, and turns errors into a sentence and an exit code."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ratcli.batch.interrupt import INTERRUPTED
from ratcli.batch.outcome import is_out_of_memory
from ratcli.cli.address_space import guard_torch
from ratcli.cli.parameters import PlainGroup
from ratcli.cli.streams import guarded_streams, printable
from ratcli.errors import DeviceError, OutputError, RatError, UsageError, nearest, sentence

# A command is an application of Typer; its module is imported when it is called or listed.
COMMANDS: dict[str, str] = {
    "restore": "ratcli.cli.scans:restore_app",
    "segment": "ratcli.cli.scans:segment_app",
    "evaluate": "ratcli.cli.scans:evaluate_app",
    "simulate": "ratcli.cli.scans:simulate_app",
    "train": "ratcli.cli.train:app",
    "serve": "ratcli.cli.serve:app",
    "export": "ratcli.cli.export:app",
    "info": "ratcli.cli.info:app",
    "weights": "ratcli.cli.weights:app",
    "doctor": "ratcli.cli.doctor:app",
}

# Each says how threads of OpenMP wait.
_WAITS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

# Typer 0.26 and later carry their own click; this is the usage error of whichever is there.
_ParserError: type[Exception] = typer.BadParameter.__bases__[0]


class LazyGroup(PlainGroup):
    """Commands that are imported when they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command.

        Raises:
            UsageError: the command does not exist; the hint has the nearest name.
        """
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name].partition(":")
            command = typer.main.get_command(getattr(importlib.import_module(module), name))
            command.name = cmd_name
            return command
        if ctx.resilient_parsing or cmd_name.startswith("-"):
            return None
        raise UsageError(f"there is no command '{cmd_name}'", hint=_nearest(cmd_name, COMMANDS))


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`rat COMMAND --help` explains a command and ends with examples.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from ratcli.commands.doctor import versions

        typer.echo("\n".join(versions()))
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the versions of rat, torch and weights.",
        ),
    ] = False,
) -> None:
    """Restore medical images with the Region Attention Transformer: CT, PET, pathology."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `rat` and return its exit code.

    Args:
        arguments: words after `rat`; None for those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    code: object = 0
    guard_torch()
    try:
        with guarded_streams():
            try:
                code = typer.main.get_command(app).main(
                    words, prog_name="rat", standalone_mode=False
                )
                if code == INTERRUPTED:
                    raise KeyboardInterrupt
            except (Exception, KeyboardInterrupt) as error:
                if "--debug" in words:
                    traceback.print_exc()
                code = _report(error)
    except OutputError as error:
        code = code or _report(error)
    return code if isinstance(code, int) else 0


def run() -> NoReturn:
    """Run `rat` as a program.

    Threads that wait do so without work, unless the user says how they wait: on a busy machine
    waiting in a loop takes more time than the arithmetic. OpenMP reads this when torch is loaded.

    After an interrupt nothing waits until libraries have freed their memory, which takes seconds.
    """
    if not any(name in os.environ for name in _WAITS):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    code = main()
    if code == INTERRUPTED:
        logging.shutdown()
        os._exit(code)
    sys.exit(code)


def _report(error: BaseException) -> int:
    """Print an error on stderr and return its exit code."""
    if isinstance(error, RatError):
        code, message, hint = error.exit_code, str(error), error.hint
    elif isinstance(error, _ParserError):
        code, message, hint = 2, *_parser_sentence(error)
    elif isinstance(error, (KeyboardInterrupt, typer.Abort)):
        code, message, hint = INTERRUPTED, "interrupted", ""
    elif is_out_of_memory(error):
        code, message, hint = DeviceError.exit_code, "there is not enough memory", ""
    else:
        code, message, hint = 1, _internal_sentence(error), _INTERNAL_HINT
    print(f"rat: {printable(sentence(message, hint))}", file=sys.stderr)
    return code


_INTERNAL_HINT = (
    "This is a fault of rat; please report it with what `rat doctor` says "
    "and what the same command prints with --debug"
)


def _internal_sentence(error: BaseException) -> str:
    """Return type and place of an unexpected error; its text may contain patient data."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "ratcli" in Path(frame.filename).parts]
    where = f" in {Path(ours[-1].filename).name}, line {ours[-1].lineno}" if ours else ""
    return f"internal error ({type(error).__name__}{where})"


def _parser_sentence(error: Any) -> tuple[str, str]:
    """Return what is wrong with the command line, and a suggestion."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "rat"
    if hasattr(error, "possibilities"):  # names like that of an option that does not exist
        option, known = error.option_name, _options(context)
        return f"there is no option {option}", _nearest(option, known, path)
    text = " ".join(error.format_message().split())
    return text[:1].lower() + text[1:], f"`{path} --help` explains"


def _options(context: Any) -> list[str]:
    if context is None:
        return []
    return [name for parameter in context.command.params for name in parameter.opts]


def _nearest(word: str, known: Iterable[str], path: str = "rat") -> str:
    return nearest(word, known, f"`{path} --help` lists what there is")


if __name__ == "__main__":
    run()
