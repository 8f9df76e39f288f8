"""Faces and hands keep the body's own relief, and hair lies evenly on the head.

Frames see a face a few centimetres wide in depth that was predicted for a whole person, each with its head turned a
little wrongly: fused, nose, eyes and lips are an egg, and fingers a mitten. How far the skin lies off the body's can be
told, smoothly; its shape below that is the body's. Of hair, frames from the front show a front that rises straight to
its outline; that it goes on around the head evenly is a better guess than that it ends there.
"""

from __future__ import annotations

import numpy as np
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.mesh_shape import averaging, subdivided
from dancedepth.pipeline.skin_distance import SkinDistance
from dancedepth.pipeline.volume_sampling import BlockCorners
from jaxtyping import Float, Int

SKIN_M, LIMB_M, HAIR_M, CLOTHES_M = 0.001, 0.003, 0.01, 0.015
"""How far the surface may lie beside the smooth offset of the skin: on faces and hands, on bare arms and legs, outwards
in hair, and in clothes, whose folds are flatter: what sticks out farther was seen once or twice, where a shoulder
creased.
"""
SKULL_M = 0.003
"""And inwards in hair."""
SURE_M = 0.005
"""Distances that scatter by less from frame to frame may lie farther off: with exact depth they do by a millimetre at
most, in videos by 5 to 15.
"""
EXACT_M = 0.005
"""Where the reach is less, distances from the skin are taken voxel by voxel, elsewhere between blocks' corners."""
ROUNDS = 2
"""Of moving vertices along the body's normals."""
SMOOTHINGS = 12
"""Rings of neighbours over which the distance from the skin is averaged: some centimetres."""
MOVED_M = 0.004
"""Vertices that are farther off than this are no skin."""
OWN_FROM = 0.5, 0.9
"""Between these shares of face and hands vertices begin to move."""


def with_own_relief(
    volume: CanonicalVolume,
    field: BodyField,
    corners: BlockCorners,
    offset_m: Float[np.ndarray, "b n"],
    skin_m: SkinDistance,
    about_m: Float[np.ndarray, "b n"],
    distances: Float[np.ndarray, "b n"],
    scatter_m: Float[np.ndarray, "b n"],
    limbs: Float[np.ndarray, "s"],
) -> Float[np.ndarray, "b n"]:
    """Truncated distances whose zero lies within a reach of `offset_m` from the skin.

    `about_m` are distances from the skin interpolated between blocks' corners, which do for clothes; `limbs` are the
    coarse samples of bare arms and legs. The less frames scatter, the farther the reach: what they all see alike stays
    as it is (0: wherever it is).
    """
    bare = np.clip(field.face + field.hands, 0, 1)
    limbs = limbs * (1 - np.clip(bare + field.hair, 0, 1))
    clothed = 1 - np.clip(bare + field.hair + limbs, 0, 1)
    even = bare * SKIN_M + limbs * LIMB_M + clothed * CLOTHES_M
    reach_m = even[:, None] + field.hair[:, None] * np.array([SKULL_M, HAIR_M])
    inwards, outwards = (corners.spread(reach_m[:, side]) for side in range(2))
    truncation_m, near = volume.config.truncation_m, volume.block_m * np.sqrt(3) / 2
    blocks = np.abs(skin_m.middle) < near + truncation_m + np.abs(offset_m).max(axis=1)
    rows = np.repeat(blocks[:, None], inwards.shape[1], axis=1) & (scatter_m > 0)
    from_skin_m = about_m.copy()
    close = rows & (inwards < EXACT_M)
    from_skin_m[close] = skin_m.at(close)
    sure, off_m = np.maximum(SURE_M / scatter_m[rows], 1), (from_skin_m - offset_m)[rows]
    ends = off_m - sure * outwards[rows], off_m + sure * inwards[rows]
    low, high = (np.clip(one / truncation_m, -1, 1) for one in ends)
    result = distances.copy()
    result[rows] = np.clip(distances[rows], low, high)
    return result


def sharpened(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], field: BodyField
) -> tuple[Float[np.ndarray, "k 3"], Int[np.ndarray, "g 3"]]:
    """The surface with twice as fine a mesh on face and hands, which follows their relief below the size of voxels."""
    body_own = np.clip(field.face + field.hands, 0, 1)[:, None]
    bare = field.spread(body_own, vertices)[:, 0] > OWN_FROM[0]
    count = len(vertices)
    vertices, faces = subdivided(vertices, faces, bare)
    rows = np.concatenate((np.flatnonzero(bare), np.arange(count, len(vertices))))
    if not len(rows):
        return vertices, faces
    place = np.full(len(vertices), -1)
    place[rows] = np.arange(len(rows))
    inner = place[faces]
    mean = averaging(len(rows), inner[(inner >= 0).all(axis=1)])
    own = field.spread(body_own, vertices[rows])[:, 0]
    movable = np.clip((own - OWN_FROM[0]) / (OWN_FROM[1] - OWN_FROM[0]), 0, 1)
    sharp = vertices.copy()
    smooth = field.signed_distance(vertices[rows])
    for _ in range(SMOOTHINGS):
        smooth = mean @ smooth
    for _ in range(ROUNDS):
        off = smooth - field.signed_distance(sharp[rows])
        sharp[rows] += (movable * off * (np.abs(off) < MOVED_M))[:, None] * field.outwards(sharp[rows])
    return sharp, faces
