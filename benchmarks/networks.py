"""What the depth networks cost: milliseconds a frame by preset, device and frames at once, at the preset's input size.

    python benchmarks/networks.py bench-out/networks.json [--repeats 10]

The fastest of the repeats is given beside the median, since other work on the machine only ever adds to it.
`make bench` measures the same.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from dancedepth.models.hdnet import HDNet
from dancedepth.models.inputs import NetworkInput, stack_inputs
from dancedepth.pipeline.depths import FRAMES_A_BATCH
from dancedepth.pipeline.storage import write_json
from rich.console import Console
from rich.table import Table

MS_PER_S = 1000
WARM_UP = 2
PRESETS = ("small", "base")


@dataclass(frozen=True)
class Cost:
    """Of one frame through all networks."""

    preset: str
    device: str
    threads: int
    size: tuple[int, int]
    """Width and height."""
    head_size: tuple[int, int]
    """Of the second look, at the head."""
    at_once: int
    """Frames in a batch."""
    parameters_m: float
    """Millions, of all networks."""
    fastest_ms: float
    median_ms: float
    cpu_ms: float
    """Of all processors together, the mean."""


def bench(
    out: Annotated[Path, typer.Argument(help="The JSON file to write.")],
    repeats: Annotated[int, typer.Option(min=1)] = 10,
) -> None:
    """Measure every preset on every device there is; write and print the table."""
    found = list(costs(["cpu", *(["cuda"] if torch.cuda.is_available() else [])], repeats))
    write_json(out, [asdict(one) for one in found])
    show(found)


def costs(devices: Sequence[str], repeats: int) -> Iterator[Cost]:
    """Every preset on every device, alone and in the batches of a run."""
    for device in devices:
        for preset in PRESETS:
            for at_once in sorted({1, FRAMES_A_BATCH[device]}):
                yield cost(preset, device, at_once, repeats)


def cost(preset: str, device: str, at_once: int, repeats: int) -> Cost:
    """One batch, again and again."""
    net = HDNet(preset, head=True).to(device).to(memory_format=torch.channels_last).eval()
    given, heads = (stack_inputs([drawn(size)] * at_once).to(device) for size in (net.size, net.head_size))
    taken, used = [], []
    for _ in range(WARM_UP + repeats):
        started, before = time.perf_counter(), time.process_time()
        net.infer(given)
        net.infer_head(heads)
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(MS_PER_S * (time.perf_counter() - started) / at_once)
        used.append(MS_PER_S * (time.process_time() - before) / at_once)
    millions = sum(p.numel() for p in net.parameters()) / 1e6
    measured, mean = taken[WARM_UP:], statistics.mean(used[WARM_UP:])
    threads, median = torch.get_num_threads(), statistics.median(measured)
    return Cost(preset, device, threads, net.size, net.head_size, at_once, millions, min(measured), median, mean)


def drawn(size: tuple[int, int]) -> NetworkInput:
    """Noise of a network input's shape: the networks' time does not depend on what they see."""
    width, height = size
    generator = torch.Generator().manual_seed(0)
    maps = {"image": 3, "alpha": 1, "body_offset": 1, "body_normals": 3, "canonical": 3, "coverage": 1, "rays": 2}
    drawn = {name: torch.rand(1, n, height, width, generator=generator) for name, n in maps.items()}
    return NetworkInput(**drawn, root_depth=torch.full((1, 1, 1, 1), 1.5))


def show(found: Sequence[Cost]) -> None:
    """A table on the terminal."""
    table = Table("depth networks", "device", "input", "at once", "parameters", "fastest", "median", "processors")
    for one in found:
        amounts = (one.fastest_ms, one.median_ms, one.cpu_ms)
        facts = (
            " + ".join(f"{w}x{h}" for w, h in (one.size, one.head_size)),
            str(one.at_once),
            f"{one.parameters_m:.1f} M",
        )
        table.add_row(one.preset, f"{one.device} ({one.threads} threads)", *facts, *(f"{v:.0f} ms" for v in amounts))
    Console().print(table)


if __name__ == "__main__":
    typer.run(bench)
