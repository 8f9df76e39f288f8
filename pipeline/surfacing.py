"""The canonical surface: made from the volume, cleaned, simplified, skinned, coloured and textured."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from dancedepth.pipeline.atlas import Atlas, lay_out
from dancedepth.pipeline.body_field import HAND_BONES, BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.color_fill import Head, filled_colors
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.errors import PersonError
from dancedepth.pipeline.hand_colors import of_one_color
from dancedepth.pipeline.keyframes import Keyframe
from dancedepth.pipeline.limb_borders import Parts, limbs_of, own_looks
from dancedepth.pipeline.mesh_shape import closed_up, largest_component, simplified
from dancedepth.pipeline.normal_map import NormalLayer, seen_normals
from dancedepth.pipeline.portrait import choose_portrait
from dancedepth.pipeline.raised import raised
from dancedepth.pipeline.records import BodyMotion, Surface
from dancedepth.pipeline.relief import sharpened
from dancedepth.pipeline.surface import moved, skin_moves, vertex_normals
from dancedepth.pipeline.tangents import unit
from dancedepth.pipeline.texture import ColorLayer, Layer, bake, blend, vertex_paint
from dancedepth.pipeline.vertex_colors import VertexLooks, as_bytes, balanced, consensus, vertex_look
from dancedepth.pipeline.volume_sampling import Samples, sample
from jaxtyping import Bool, Float, Int

SEEN_WEIGHT = 1.0
"""Integrated weight (one sharp frontal look gives about one) at which `observed` reaches 1 - 1/e."""
COLORED_WEIGHT = 0.02
"""Colour weight of the volume at which its colour is half trusted."""
LOOKED_WEIGHT = 0.05
"""The same for the keyframes' weight."""
SKIN_BONES = 4
"""As many as glTF takes per vertex."""
HEAD_BONES = ("head", "eye")
EYE_BONES = ("eye.L", "eye.R")


@dataclass(frozen=True)
class Shape:
    """The surface at rest, without colours."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    skin_weights: Float[np.ndarray, "v 4"]
    skin_bones: Int[np.ndarray, "v 4"]

    def moves(self, cam_from_rest: Float[np.ndarray, "j 4 4"]) -> Float[np.ndarray, "v 3 4"]:
        """Of its vertices into the camera."""
        return skin_moves(self.skin_weights, self.skin_bones, cam_from_rest)


def surface_from(
    volume: CanonicalVolume,
    tsdf: Float[np.ndarray, "b n"],
    field: BodyField,
    motion: BodyMotion,
    keyframes: list[Keyframe],
    config: FusionConfig,
) -> Surface:
    """Extract the zero surface as one component; skin, colour and texture it.

    Raises:
        PersonError: the volume holds no surface.
    """
    vertices, faces = volume.extract(tsdf, np.ones(tsdf.shape, dtype=bool))
    if not len(faces):
        raise PersonError("no surface came out of the frames", "fusion", "Check masks/ and depth/ of the run.")
    whole = closed_up(*largest_component(vertices, faces))
    vertices, faces = simplified(*sharpened(*whole, field), config.faces)
    shape = Shape(vertices.astype(np.float32), faces, *field.top_bones(vertices, SKIN_BONES))
    return painted(shape, sample(volume, vertices), motion, keyframes, config.texture_px)


def painted(shape: Shape, samples: Samples, motion: BodyMotion, keyframes: list[Keyframe], texture_px: int) -> Surface:
    """The surface in colour: its vertices by what all keyframes agree on, its texture by the best of them."""
    with ThreadPoolExecutor(1) as aside:
        unfolding = aside.submit(
            lay_out, shape.vertices, shape.faces, shape.skin_bones[:, 0], motion.bone_names, texture_px
        )
        return _painted(shape, samples, motion, keyframes, texture_px, unfolding)


def _painted(
    shape: Shape,
    samples: Samples,
    motion: BodyMotion,
    keyframes: list[Keyframe],
    texture_px: int,
    unfolding: Future[Atlas],
) -> Surface:
    moves = [shape.moves(motion.cam_from_rest[frame.index]) for frame in keyframes]
    posed = [moved(shape.vertices, move) for move in moves]
    looks = _looks(shape, samples, keyframes, posed)
    head = _head(shape, motion)
    hands = _own(shape, motion, HAND_BONES)
    face = np.zeros(len(hands), bool) if head is None else head.front(shape.vertices)
    looks, samples = of_one_color(looks, samples, hands, face)
    parts = Parts(shape.vertices, shape.faces, limbs_of(shape.skin_bones[:, 0], motion.bone_names))
    looks, samples = own_looks(looks, samples, parts, keyframes, posed)
    portrait = choose_portrait(shape.vertices, head, hands, looks, keyframes, posed, shape.faces)
    if portrait is not None:
        looks, samples = portrait.alone(looks, samples)
    color, trust = _colors(shape, samples, looks, head)
    made = blend(looks, color, trust, shape.faces)
    atlas = unfolding.result()
    layers: list[Layer] = [ColorLayer(color, looks, made, keyframes)]
    normals = vertex_normals(shape.vertices, shape.faces)
    if keyframes and all(frame.normals is not None for frame in keyframes):
        turns = [move[..., :3] for move in moves]
        but_hands = replace(looks, weight=np.where(hands, 0, looks.weight))  # which networks see as mittens
        seen = seen_normals(normals, shape.faces, but_hands, made, keyframes, posed, turns)
        clothes = 1 - (0 if head is None else head.share[:, None])  # and limbs: normals make noses flat
        wanted = unit(normals + clothes * (seen.of_surface(normals) - normals))
        shape = replace(shape, vertices=raised(shape.vertices, shape.faces, normals, wanted))
        normals = vertex_normals(shape.vertices, shape.faces)
        posed = [moved(shape.vertices, move) for move in moves]
        layers.append(NormalLayer.on(shape.vertices, normals, atlas, seen))
    texture, *normal_map = bake(atlas, layers, made, keyframes, posed, texture_px)
    return Surface(
        vertices=shape.vertices[atlas.source],
        faces=atlas.faces,
        normals=normals[atlas.source],
        colors=as_bytes(vertex_paint(color, looks, made))[atlas.source],
        observed=(1 - np.exp(-samples.weight / SEEN_WEIGHT)).astype(np.float32)[atlas.source],
        skin_weights=shape.skin_weights[atlas.source],
        skin_bones=shape.skin_bones[atlas.source],
        uv=atlas.uv,
        texture=texture,
        normal_map=normal_map[0] if normal_map else None,
    )


def _looks(
    shape: Shape, samples: Samples, keyframes: list[Keyframe], posed: list[Float[np.ndarray, "v 3"]]
) -> VertexLooks:
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        seen = list(workers.map(lambda frame, at: vertex_look(frame, at, shape.faces), keyframes, posed))
    weight, color = (np.stack(part) for part in zip(*seen, strict=True))
    return balanced(weight, color, samples.color.astype(np.float32))


def _colors(
    shape: Shape, samples: Samples, looks: VertexLooks, head: Head | None
) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "v"]]:
    """The smooth colour of every vertex, and how well it was seen (0-1)."""
    agreed = consensus(looks)
    mean_weight = samples.color_weight / (samples.color_weight + COLORED_WEIGHT) * LOOKED_WEIGHT
    total = agreed.weight + mean_weight
    color = (agreed.weight[:, None] * agreed.color + mean_weight[:, None] * samples.color) / np.maximum(total, 1e-9)[
        :, None
    ]
    trust = total**2 / (total**2 + LOOKED_WEIGHT**2)
    return filled_colors(shape.vertices, shape.faces, color, trust, head), trust


def _head(shape: Shape, motion: BodyMotion) -> Head | None:
    own = _own(shape, motion, HEAD_BONES)
    y = shape.vertices[own, 1]
    share = (shape.skin_weights * np.isin(shape.skin_bones, _bones(motion, HEAD_BONES))).sum(axis=1)
    eyes = motion.rest_bone_poses[_bones(motion, EYE_BONES), :3, 3]
    middles = eyes if len(eyes) == len(EYE_BONES) else None
    return Head(own, share, float((y.min() + y.max()) / 2), middles) if len(y) else None


def _own(shape: Shape, motion: BodyMotion, names: tuple[str, ...]) -> Bool[np.ndarray, "v"]:
    """The vertices that follow bones whose names start so."""
    return np.isin(shape.skin_bones[:, 0], _bones(motion, names))


def _bones(motion: BodyMotion, names: tuple[str, ...]) -> list[int]:
    return [index for index, name in enumerate(motion.bone_names) if name.startswith(names)]
