"""Everything that a clip's seed draws, before anything is rendered or written: who, dressed how, moving how, seen from
where, in which room. Training makes scenes without files through this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.pipeline.errors import UsageError
from dancedepth.pipeline.records import BodyMotion
from dancedepth.pipeline.synthesis.bvh import read_bvh
from dancedepth.pipeline.synthesis.character import DressedBody, dress
from dancedepth.pipeline.synthesis.config import SynthConfig
from dancedepth.pipeline.synthesis.garments import SOLE_M
from dancedepth.pipeline.synthesis.motion import WorldMotion, dance
from dancedepth.pipeline.synthesis.render import Renderer
from dancedepth.pipeline.synthesis.retarget import retarget
from dancedepth.pipeline.synthesis.room import Room
from dancedepth.pipeline.synthesis.staging import View, body_motion, frame_dancer, world_poses
from dancedepth.pipeline.synthesis.wardrobe import Wardrobe
from jaxtyping import Float
from torch import Tensor

SMALL_IMAGE_PX = 500
"""Pictures whose longer side is below this get cloth of 12 mm edges instead of 6."""


@dataclass(frozen=True)
class Scene:
    """One clip, ready to be rendered."""

    rest: RestBody
    dressed: DressedBody
    motion: BodyMotion
    view: View
    room: Room

    def renderer(self, supersampling: int = 2) -> Renderer:
        """What draws its frames: `renderer.render(torch.from_numpy(motion.cam_from_rest[i]))`."""
        return Renderer(self.dressed, self.view, self.room, supersampling)


def make_scene(config: SynthConfig, body: BodyModel) -> Scene:
    """Draw a clip's contents from its config's seed."""
    generator = torch.Generator().manual_seed(config.seed + 32452843)
    phenotype = draw_phenotype(generator)
    rest = body.rest(phenotype)
    if config.height_m is not None:
        rest = body.scaled_to_height(rest, config.height_m)
    wardrobe = Wardrobe(config.garments) if config.garments is not None else None
    detail = 1 if max(config.width, config.height) < SMALL_IMAGE_PX else 2
    dressed = dress(
        body,
        rest,
        config.seed,
        detail,
        wardrobe,
        config.garment_names,
        fine_folds=config.long_wear,
        long_wear=config.long_wear,
    )
    moved = _moved(config, body, rest)
    poses = world_poses(body, rest, moved)
    view = frame_dancer(body, rest, poses, (config.width, config.height), config.seed)
    times_s = np.arange(len(poses)) / config.fps
    motion = body_motion(body, rest, phenotype, poses, view, times_s)
    return Scene(rest, dressed, motion, view, Room(config.seed))


def draw_phenotype(generator: torch.Generator) -> Float[Tensor, "6"]:
    """An adult: any gender, 18 to about 60, most builds."""
    share = torch.rand(6, generator=generator)
    low = torch.tensor([0.0, 0.52, 0.30, 0.25, 0.34, 0.30])
    high = torch.tensor([1.0, 0.80, 0.75, 0.70, 0.54, 0.80])
    return low + (high - low) * share


def _moved(config: SynthConfig, body: BodyModel, rest: RestBody) -> WorldMotion:
    """The dance; a recorded one ends with its recording."""
    sole_m = SOLE_M * rest.height_m / 1.75
    if config.motion is None:
        return dance(body, rest, config.frames, config.fps, config.seed, sole_m)
    capture = read_bvh(config.motion)
    times_s = torch.arange(config.frames, dtype=torch.float64) / config.fps + config.motion_start_s
    times_s = times_s[times_s <= capture.seconds]
    if not len(times_s):
        what = f"the recording ends at {capture.seconds:.2f} s"
        raise UsageError(what, "--motion-start", "Choose an earlier start.")
    return retarget(capture, body, rest, times_s, sole_m)
