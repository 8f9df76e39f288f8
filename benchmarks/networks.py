"""What the depth networks cost: milliseconds a frame by preset and device, at the preset's own input size.

    python benchmarks/networks.py bench-out/networks.json [--repeats 10]

The fastest of the repeats is given beside the median, since other work on the machine only ever adds to it.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from dancedepth.models.hdnet import HDNet
from dancedepth.models.inputs import NetworkInput
from dancedepth.pipeline.storage import write_json
from rich.console import Console
from rich.table import Table

MS_PER_S = 1000
WARM_UP = 2


@dataclass(frozen=True)
class Cost:
    """Of one frame through both networks."""

    preset: str
    device: str
    threads: int
    size: tuple[int, int]
    """Width and height."""
    parameters_m: float
    """Millions, of both networks."""
    fastest_ms: float
    median_ms: float


def bench(
    out: Annotated[Path, typer.Argument(help="The JSON file to write.")],
    repeats: Annotated[int, typer.Option(min=1)] = 10,
) -> None:
    """Measure `small` on every device there is, `base` on GPUs, which it is for; write and print the table."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    pairs = [("small", device) for device in devices] + [("base", "cuda")] * ("cuda" in devices)
    costs = [cost(preset, device, repeats) for preset, device in pairs]
    write_json(out, [asdict(one) for one in costs])
    table = Table("networks", "device", "input", "parameters", "fastest", "median")
    for one in costs:
        size = f"{one.size[0]}x{one.size[1]}"
        figures = (f"{one.parameters_m:.1f} M", f"{one.fastest_ms:.0f} ms", f"{one.median_ms:.0f} ms")
        table.add_row(one.preset, f"{one.device} ({one.threads} threads)", size, *figures)
    Console().print(table)


def cost(preset: str, device: str, repeats: int) -> Cost:
    """One frame, again and again."""
    net = HDNet(preset).to(device).to(memory_format=torch.channels_last).eval()
    given = drawn(net.size).to(device)
    taken = []
    for _ in range(WARM_UP + repeats):
        started = time.perf_counter()
        net.infer(given)
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(MS_PER_S * (time.perf_counter() - started))
    millions = sum(p.numel() for p in net.parameters()) / 1e6
    measured = taken[WARM_UP:]
    return Cost(preset, device, torch.get_num_threads(), net.size, millions, min(measured), statistics.median(measured))


def drawn(size: tuple[int, int]) -> NetworkInput:
    """Noise of a network input's shape: the networks' time does not depend on what they see."""
    width, height = size
    generator = torch.Generator().manual_seed(0)
    maps = {"image": 3, "alpha": 1, "body_offset": 1, "body_normals": 3, "canonical": 3, "coverage": 1, "rays": 2}
    drawn = {name: torch.rand(1, n, height, width, generator=generator) for name, n in maps.items()}
    return NetworkInput(**drawn, root_depth=torch.full((1, 1, 1, 1), 1.5))


if __name__ == "__main__":
    typer.run(bench)
