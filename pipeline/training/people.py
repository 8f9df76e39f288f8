"""Who is made up: shape, clothes and motion of one training person, and which assets only validation may see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import roma
import torch
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.pipeline.synthesis.bvh import Capture, read_bvh
from dancedepth.pipeline.synthesis.character import DressedBody, dress
from dancedepth.pipeline.synthesis.garments import SOLE_M
from dancedepth.pipeline.synthesis.motion import WorldMotion, dance
from dancedepth.pipeline.synthesis.retarget import retarget
from dancedepth.pipeline.synthesis.rotations import about
from dancedepth.pipeline.synthesis.scene import draw_phenotype
from dancedepth.pipeline.synthesis.staging import world_poses
from dancedepth.pipeline.synthesis.wardrobe import Wardrobe
from dancedepth.pipeline.training.config import DataConfig
from jaxtyping import Float
from torch import Generator, Tensor

HELD_OUT = frozenset({
    "female_casualsuit02", "male_casualsuit04", "shoes05", "bob01", "short02", "jesse_dance", "cmu_49_08",
    "young_darkskinned_female_diffuse", "old_lightskinned_male_diffuse", "middleage_lightskinned_female_diffuse",
})  # fmt: skip
"""Assets and motions, by name, that training never sees."""
VALIDATION_SEED = 900_000_000
"""Seeds from here on are validation's; a training's own are its seed times a million and up."""
STEP_S = 0.3
"""Between two poses of one person: far enough apart to differ."""
LOOSE_DEG = 6.0
"""Standard deviation of what is added to every joint of a dance."""
UNUSUAL = 0.25
"""Share of the people whose age and build lie beyond those of most dancers."""


@dataclass(frozen=True)
class Person:
    """One dressed person in several poses, world frame (z up, the floor at z = 0)."""

    phenotype: Float[Tensor, "6"]
    rest: RestBody
    dressed: DressedBody
    world_from_rest: Float[Tensor, "n j 4 4"]
    wears: tuple[str, ...]
    moves: str


def draw_person(body: BodyModel, config: DataConfig, seed: int) -> Person:
    """The person of a seed; seeds from `VALIDATION_SEED` on wear and dance what others do not."""
    generator = torch.Generator().manual_seed(seed)
    held_out = seed >= VALIDATION_SEED
    phenotype = _phenotype(generator)
    rest = body.rest(phenotype)
    root = Path(config.wardrobe) if config.wardrobe and _chance(generator, config.wardrobe_share) else None
    names = _outfit(root, generator, held_out) if root else ()
    wardrobe = Wardrobe(root) if root and names else None
    dressed = dress(body, rest, seed % 2**31, config.detail, wardrobe, names, config.fine_folds, config.long_wear)
    bvh = Path(config.mocap) if config.mocap and _chance(generator, config.mocap_share) else None
    motion, moves = _motion(body, rest, config.views, bvh, generator, held_out)
    loose = _loosened(body, motion, generator)
    return Person(phenotype, rest, dressed, world_poses(body, rest, loose), dressed.description, moves)


def _phenotype(generator: Generator) -> Float[Tensor, "6"]:
    phenotype = draw_phenotype(generator)
    if _chance(generator, UNUSUAL):
        low, high = torch.tensor([0.0, 0.38, 0.15, 0.1, 0.1, 0.1]), torch.tensor([1.0, 1.0, 0.9, 0.95, 0.75, 0.9])
        phenotype = low + (high - low) * torch.rand(6, generator=generator)
    return phenotype


def _outfit(root: Path, generator: Generator, held_out: bool) -> tuple[str, ...]:
    """A suit, shoes and hair, each but sometimes, and a skin, by name; the rest is procedural."""
    clothes = sorted(path.stem for path in root.glob("clothes/*/*.mhclo"))
    kinds = [
        ([name for name in clothes if "suit" in name or "dress" in name], 0.75),
        ([name for name in clothes if "shoe" in name or "boot" in name], 0.8),
        (sorted(path.stem for path in root.glob("hair/*/*.mhclo")), 0.75),
        (sorted(path.stem for path in root.glob("skins/*.jpg")), 1.0),
    ]
    chosen = []
    for names, share in kinds:
        allowed = _allowed(names, held_out)
        at = int(torch.randint(max(len(allowed), 1), (1,), generator=generator))
        if _chance(generator, share) and allowed:
            chosen.append(allowed[at])
    return tuple(chosen)


def _allowed(names: list[str], held_out: bool) -> list[str]:
    """Training's names, or validation's; where a folder has none of the latter, all."""
    return [name for name in names if (name in HELD_OUT) == held_out] or names


def _motion(
    body: BodyModel, rest: RestBody, count: int, bvh: Path | None, generator: Generator, held_out: bool
) -> tuple[WorldMotion, str]:
    sole_m = SOLE_M * rest.height_m / 1.75
    names = _allowed(sorted(path.stem for path in bvh.glob("*.bvh")), held_out) if bvh else []
    seed = int(torch.randint(2**30, (1,), generator=generator))
    if bvh is None or not names:
        return dance(body, rest, max(count, 2), 1 / STEP_S, seed, sole_m), "procedural"
    name = names[seed % len(names)]
    capture = _capture(bvh / f"{name}.bvh")
    latest = max(0.0, capture.seconds - count * STEP_S)
    start = latest * float(torch.rand(1, generator=generator))
    times = start + STEP_S * torch.arange(max(count, 2), dtype=torch.float64)
    return retarget(capture, body, rest, times.clamp(max=capture.seconds), sole_m), name


@cache
def _capture(path: Path) -> Capture:
    return read_bvh(path)


def _loosened(body: BodyModel, motion: WorldMotion, generator: Generator) -> WorldMotion:
    """Every joint a little elsewhere, fingers and toes bent, the whole turned to any side."""
    rotations, root = motion.rotations, motion.root

    spread = torch.full((len(body.bone_names), 1), LOOSE_DEG)
    spread[0] = 0
    fingers = [j for j, name in enumerate(body.bone_names) if name.startswith("finger")]
    spread[fingers] = 2 * LOOSE_DEG
    share = torch.rand(1, generator=generator)
    angles = torch.deg2rad(spread * share) * torch.randn(*rotations.shape[:2], 3, generator=generator)
    rotations = rotations @ roma.rotvec_to_rotmat(angles)
    turn = about("z", 6.2832 * torch.rand(len(rotations), generator=generator))
    rotations = rotations.clone()
    rotations[:, 0] = turn @ rotations[:, 0]
    return WorldMotion(rotations, root)


def _chance(generator: Generator, share: float) -> bool:
    return float(torch.rand(1, generator=generator)) < share
