"""The command `dancedepth`, and the one place where errors are printed and turned into exit codes."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from dancedepth.cli.interrupts import Interruption, end_children, interruptible
from dancedepth.cli.terminal import write_log
from dancedepth.pipeline.explain import explain

COMMANDS = {
    "reconstruct": ("reconstruct", "reconstruct", "Reconstruct the dancer of a video in 3D."),
    "batch": ("batch", "batch", "Reconstruct folders of videos, many at a time."),
    "depth": ("depth", "depth", "Depth, normals and point clouds alone, of a video or a picture."),
    "view": ("view", "view", "Open a run's report: the dancer in 3D."),
    "export": ("export", "export", "A run for Blender and others: meshes, animated glTF and USD, BVH."),
    "synth": ("synth", "synth", "Render a dancer whose true shape and motion are known."),
    "evaluate": ("evaluate", "evaluate", "Measure a run against the truth of its clip."),
    "train": ("train", "train", "Teach the depth networks on made-up people."),
    "doctor": ("doctor", "doctor", "Is everything here that a run needs, and does it work?"),
    "weights": ("weights", "app", "The networks' weights: what there is, fetch it, check it."),
}
"""Module, object and one line of each command; only the one that is called is imported, so that help comes at once."""
TYPER_ERROR = typer.BadParameter.mro()[2]
"""Root of Typer's usage errors, which is Click's, or Typer's own copy of it, depending on the version."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for failure, 2 for wrong usage, 130 for Ctrl-C."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait slow each other down
    given = list(sys.argv[1:] if arguments is None else arguments)
    with interruptible() as interruption:
        code = _run(given, interruption)
        if arguments is None:
            _leave(code, tidily=interruption.signal is None)
        return code


def _leave(code: int, tidily: bool) -> NoReturn:
    """End the process at once: Python takes a second and a half to take itself apart after a run.

    After an interruption threads of libraries may still be at work, and would crash meanwhile.
    """
    if tidily:
        atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def _run(given: list[str], interruption: Interruption) -> int:
    try:
        code = build_app(given)(args=given, prog_name="dancedepth", standalone_mode=False)
        sys.stdout.flush()
        stopped = interruption.signal is not None or code == interruption.exit_code
        return _interrupted(interruption) if stopped else int(code or 0)
    except BrokenPipeError:
        return _nobody_reads()
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(interruption)
    except Exception as error:  # noqa: BLE001 - the boundary
        return _interrupted(interruption) if interruption.signal is not None else _failed(error)


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """The app, with the module of the called command loaded."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode="rich")
    app.callback()(_root)
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, (module, attribute, line) in COMMANDS.items():
        if name != called:
            app.command(name, help=line)(_not_called)
            continue
        command = getattr(importlib.import_module(f"dancedepth.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _not_called() -> None:
    """Stands for a command in the list of commands."""


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"dancedepth {version('dancedepth')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="The program's version.")
    ] = False,
) -> None:
    """A dance video in, a 3D dancer out."""


def _failed(error: Exception) -> int:
    if isinstance(error, TYPER_ERROR):
        return _misused(error)
    known = explain(error)
    if known:
        end_children()
        return _say(str(known), known.exit_code)
    log = write_log(error)
    return _say(f"this is a bug in dancedepth ({_one_line(f'{type(error).__name__}: {error}')}); details: {log}", 1)


def _misused(error: Any) -> int:
    """Typer's own finding; it has printed the help already if nothing was asked for."""
    message, code = _one_line(error.format_message()), int(error.exit_code)
    return _say(f"{message}. See {_help_command(error)}", code) if message else code


def _interrupted(interruption: Interruption) -> int:
    line = "interrupted. A reconstruction goes on after its last finished stage when started again"
    code = _say(line, interruption.exit_code)
    end_children()
    return code


def _nobody_reads() -> int:
    """Standard output was closed by its reader: `dancedepth ... | head -1` is no error worth a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _help_command(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path if context else 'dancedepth'} --help`"


def _say(line: str, code: int) -> int:
    print(f"dancedepth: {line}", file=sys.stderr, flush=True)
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
