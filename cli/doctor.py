"""`dancedepth doctor`: is everything here that a run needs, and does it work?"""

from __future__ import annotations

import json as json_format
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from dancedepth.pipeline.doctor import Finding, examine
from rich.console import Console
from rich.text import Text

NAME_WIDTH = 24


def doctor(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where runs would go.")] = Path(),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda, for the self-test.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Write the findings as JSON to the standard output.")] = False,
) -> None:
    """Look at libraries, ffmpeg, weights, disk and memory, and try them out; exit code 1 if something needed is red."""
    console = Console(soft_wrap=True)
    findings = []
    for finding in examine(out, device):
        findings.append(finding)
        if not json:
            console.print(_line(finding), highlight=False)
            sys.stdout.flush()
    if json:
        print(json_format.dumps([asdict(finding) for finding in findings], indent=1))
    if any(finding.needed and not finding.well for finding in findings):
        raise typer.Exit(1)


def _line(finding: Finding) -> Text:
    sign, style = ("ok", "green") if finding.well else ("no", "bold red") if finding.needed else ("--", "yellow")
    remedy = "" if finding.well or not finding.remedy else f". {finding.remedy}"
    return Text.assemble((f"{sign}  {finding.name:<{NAME_WIDTH}}", style), f"{finding.said}{remedy}")
