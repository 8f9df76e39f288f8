"""What no frame saw: the body itself, offset by the clothing's thickness nearby, blended into what was seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from dancedepth.pipeline.bare_limbs import BareLimbs, find_bare_limbs
from dancedepth.pipeline.body_field import CAVITY_M, BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.footwear import Shoes, shoes_worn
from dancedepth.pipeline.neighbours import nearest
from dancedepth.pipeline.outlines import Outline
from dancedepth.pipeline.relief import with_own_relief
from dancedepth.pipeline.seen_colors import SeenColors
from dancedepth.pipeline.skin_distance import SkinDistance
from dancedepth.pipeline.skirt_fill import HungCloth
from dancedepth.pipeline.smoothing import smoothed, variance_of_looks
from dancedepth.pipeline.trunk import Trunk, trunk_dressed
from dancedepth.pipeline.volume_sampling import BlockCorners
from jaxtyping import Bool, Float

FILL_WEIGHT = 0.2
"""Weight of the filled surface against what was seen: a fifth of one sharp frontal look, so that many looks past the
edge of a limb do not add up to a surface."""
DOUBTED_M = 0.005
"""Where the frames' distances scatter by this much, the fill weighs twice as much against them."""
LOOK_WEIGHT = 0.25
"""Weight of a usual look, for the error of the mean of several."""
SURE_SHARE = 0.96
"""From this share on the fill is not even computed."""
NEAR_TSDF = 0.5
"""Voxels this near to the surface seen (in truncations) tell its distance from the body."""
THICKNESS_RANGE_M = (-0.03, 0.3)
"""The body may be fitted a little too large; clothes hang no farther out than this."""
CLOTH_LEAST_M = -0.1
"""A skirt's outline is as wide all around as it is at the sides; before and behind it may hang nearer to the legs."""
LIMB_INSIDE_M, DENTED_M = 0.01, 0.004
"""No skin of arms and legs lies deeper in the body than the first, and no surface there deeper under the filled one
than the second: the fit is off by more than a wrist is thick, and frames that look past it must not cut it off."""
GLOVE_M, FACE_M, SKULL_M = 0.006, 0.005, 0.01
FOLDS_M, LOOSER_M = 0.008, 0.03
"""Folds may lie this far beside the outline; and farther by the second, times how little is known over how much."""
EDGE_KNOWN = 0.3
FREE = 0.999
"""Truncated distances from here on say that there is nothing, negative ones that all is solid."""
DRAPE_M = 0.012
"""What unseen cloth smooths away of the body under it, as an error of its distances."""
SHAVED_M = 0.002
"""But cloth lies on what stands out: no more of that goes than the facets of the body's mesh."""
THICKNESS_PROBES = 80_000
SMOOTHING = 0.3
"""Pull of neighbouring samples on a seen thickness; unseen thickness follows its neighbours alone."""
CLOTH_SMOOTHING = 10
"""Times that, among samples of a skirt."""
FACE_SMOOTHING, HAIR_SMOOTHING = 100, 60
"""And among those of a face or a hand, and of the rest of the head."""
HAIR_DEPTH = 0.15
"""What depth counts in hair, which networks see as a wall up to its outline."""
PULL_TO_MEDIAN = 0.03
EDGE_WEIGHT = 0.5
"""Weight of the looks at a matte's edge at which it counts as much as all the depth seen there."""
GRAPH_NEIGHBOURS = 10


@dataclass(frozen=True)
class Worn:
    """What the body wears, as far as it was seen."""

    thickness_m: Float[np.ndarray, "s"]
    """Distance of the surface from the skin's coarse samples."""
    cloth: HungCloth | None
    limbs: BareLimbs
    trunk: Trunk | None
    shoes: Shoes | None

    def shell(self, field: BodyField) -> Float[np.ndarray, "p 3"]:
        """Points all over what is worn."""
        skin = field.fine
        shell = skin.points + skin.normals * field.spread(self.thickness_m[:, None], skin.points)
        return np.concatenate((shell, self.cloth.shell)) if self.cloth else shell


def complete(
    volume: CanonicalVolume, field: BodyField, outline: Outline, config: FusionConfig
) -> Float[np.ndarray, "b n"]:
    """Truncated distances of every active voxel, seen or filled; activates the blocks that the filled surface needs."""
    outline = replace(outline, offset_m=within_reason(outline.offset_m, field))
    worn = what_is_worn(volume, field, outline, config)
    cloth = worn.cloth
    volume.activate(torch.from_numpy(worn.shell(field).astype(np.float32)), volume.block_m)
    voxels, corners = volume.voxels(), BlockCorners(volume, field)
    variance = variance_of_looks(voxels) * config.truncation_m**2
    fill_weight = FILL_WEIGHT * (1 + variance / DOUBTED_M**2)
    seen = voxels.weight / (voxels.weight + fill_weight)
    limbs = corners.spread(field.limbs) > 0.5
    unsure = (seen < SURE_SHARE) | limbs
    if cloth:
        zones = cloth.zones(voxels.points)
        unsure |= zones.ends | zones.hips
    offset = corners.spread(worn.thickness_m)
    skin_m = SkinDistance(field, voxels.points)
    fill = _filled(volume, skin_m, offset, unsure)
    laid = cloth.laid(volume, voxels.points, corners, zones, unsure | zones.hangs, fill) if cloth else None
    if laid:
        unsure |= zones.hangs
        limbs, fill = limbs & ~laid.outermost, np.minimum(fill, laid.around)
    if worn.trunk is not None:
        spanned_m = corners.of(worn.trunk.distance_m) - offset
        fill = np.minimum(fill, np.clip(spanned_m / config.truncation_m, -1, 1))
    distances = np.where(unsure, seen * voxels.tsdf + (1 - seen) * fill, voxels.tsdf).astype(np.float32)
    distances[limbs] = np.minimum(distances[limbs], fill[limbs] + DENTED_M / config.truncation_m)
    about_m = corners.of(field.signed_distance)
    outlined = _within_outline(volume, corners, outline, skin_m.middle, about_m, distances)
    distances = laid.shaped(distances, outlined) if laid else outlined
    hangs = zones.hangs | zones.hips if cloth else np.zeros_like(limbs)
    scatter_m = np.sqrt(variance)
    loose_m = np.where(hangs, 0, scatter_m)
    held = with_own_relief(volume, field, corners, offset, skin_m, about_m, distances, loose_m, worn.limbs.share)
    if worn.shoes is not None:
        held = worn.shoes.over(voxels.points, offset, held, config.truncation_m)
    error_m = scatter_m / np.sqrt(voxels.weight + LOOK_WEIGHT) * seen + _drape(field, corners, worn) * (1 - seen)
    own = corners.spread(np.clip(field.face + field.hands, 0, 1))
    error_m = np.maximum(error_m, np.abs(held - distances) * config.truncation_m) * (1 - own)
    result = smoothed(volume, voxels, held, voxels.weight + fill_weight, error_m)
    shaved = np.maximum(result - held - SHAVED_M / config.truncation_m, 0)
    return (result - (1 - seen) * shaved).astype(np.float32)


def what_is_worn(volume: CanonicalVolume, field: BodyField, outline: Outline, config: FusionConfig) -> Worn:
    """Told by thickness and colour; a skirt is the field's."""
    everywhere = clothing_thickness(volume, field, outline, config)
    count, colors = len(field.coarse.points), SeenColors(volume, field)
    cloth = HungCloth.over(field, everywhere[count:])
    thickness_m = within_reason(everywhere[:count], field)
    limbs = find_bare_limbs(colors, field, thickness_m)
    trunk = None if cloth else trunk_dressed(colors, field)
    return Worn(limbs.evened(thickness_m), cloth, limbs, trunk, shoes_worn(colors, field))


def _drape(field: BodyField, corners: BlockCorners, worn: Worn) -> Float[np.ndarray, "b n"]:
    """How little unseen surface may follow the body's own relief: cloth and shoes span what skin folds."""
    bare = np.clip(field.bare + worn.limbs.share - field.feet * (worn.shoes is not None), 0, 1)
    return DRAPE_M * (1 - corners.spread(bare))


def _within_outline(
    volume: CanonicalVolume,
    corners: BlockCorners,
    outline: Outline,
    middle: Float[np.ndarray, "b"],
    about_m: Float[np.ndarray, "b n"],
    distances: Float[np.ndarray, "b n"],
) -> Float[np.ndarray, "b n"]:
    """Distances so that the surface lies within `FOLDS_M` of where the mattes' edges are, as far as these are known.

    Whole blocks beyond the truncation, of which nothing else is claimed, stay as they are without a look at each voxel.
    """
    known = outline.weight / (outline.weight + EDGE_WEIGHT)
    offset = known * outline.offset_m
    share = corners.spread(known)
    total = corners.spread(offset)
    truncation_m, half = volume.config.truncation_m, volume.block_m * np.sqrt(3) / 2
    stands_off = total / np.maximum(share, EDGE_KNOWN)
    sure_m = truncation_m - FOLDS_M
    out = (middle - half - stands_off.max(axis=1) > sure_m) & (distances.min(axis=1) > FREE)
    deep = (middle + half - stands_off.min(axis=1) < -sure_m) & (distances.max(axis=1) < -FREE)
    rows = (share > EDGE_KNOWN) & ~(out | deep)[:, None]
    off_m = about_m[rows] - stands_off[rows]
    reach = FOLDS_M + LOOSER_M * (1 / share[rows] - 1)
    low, high = (np.clip((off_m + side * reach) / truncation_m, -1, 1) for side in (-1, 1))
    within = distances.copy()
    within[rows] = np.clip(distances[rows], low, high)
    return within


def _filled(
    volume: CanonicalVolume,
    skin_m: SkinDistance,
    offset_m: Float[np.ndarray, "b n"],
    wanted: Bool[np.ndarray, "b n"],
) -> Float[np.ndarray, "b n"]:
    """Truncated distances to the offset body at the `wanted` voxels.

    A block's middle tells of most blocks that all their voxels lie beyond the truncation: distances change by no more
    than one goes. Looking for the nearest triangle is what takes the time.
    """
    truncation_m, middle = volume.config.truncation_m, skin_m.middle
    reach = volume.block_m * np.sqrt(3) / 2
    outside = middle - reach > np.maximum(truncation_m + offset_m.max(axis=1), CAVITY_M)
    inside = middle + reach < np.minimum(-truncation_m + offset_m.min(axis=1), -CAVITY_M)
    fill = np.broadcast_to(np.where(inside, -1, 1).astype(np.float32)[:, None], offset_m.shape).copy()
    near = wanted & ~(outside | inside)[:, None]
    fill[near] = np.clip((skin_m.at(near) - offset_m[near]) / truncation_m, -1, 1)
    return fill


def within_reason(thickness_m: Float[np.ndarray, "s"], field: BodyField) -> Float[np.ndarray, "s"]:
    """Arms, legs and heads are no thinner than they can be; hands wear no more than gloves, whatever they hold, and
    faces nothing.
    """
    thick = np.where(field.limbs > 0.5, np.maximum(thickness_m, -LIMB_INSIDE_M), thickness_m)
    gloved = np.where(field.hands > 0.5, np.minimum(thick, GLOVE_M), thick)
    skull = np.where(field.hair > 0.5, np.maximum(gloved, -SKULL_M), gloved)
    bare: np.ndarray = np.where(field.face > 0.5, np.clip(skull, -FACE_M, FACE_M), skull)
    return bare


def clothing_thickness(
    volume: CanonicalVolume, field: BodyField, outline: Outline, config: FusionConfig
) -> Float[np.ndarray, "s"]:
    """Distance of the surface seen from the coarse samples under it, of the body and then of the skirt, by depth or,
    better, by the mattes' edges; harmonic where none was seen.
    """
    from scipy.sparse import diags
    from scipy.sparse.linalg import spsolve

    voxels = volume.voxels()
    rows = np.flatnonzero((voxels.weight > FILL_WEIGHT) & (np.abs(voxels.tsdf) < NEAR_TSDF))
    rows = np.random.default_rng(0).permutation(rows)[:THICKNESS_PROBES]
    count = len(field.clothed.points)
    if not len(rows):
        return np.zeros(count, np.float32)
    points, tsdf, weight = (a.reshape(-1, *a.shape[2:])[rows] for a in (voxels.points, voxels.tsdf, voxels.weight))
    _, sample = nearest(field.clothed.tree, points)
    least = np.where(sample < len(field.coarse.points), THICKNESS_RANGE_M[0], CLOTH_LEAST_M)
    measured = np.clip(field.distance_to(points, sample) - tsdf * config.truncation_m, least, THICKNESS_RANGE_M[1])
    total = np.bincount(sample, weight, count)
    mean = np.bincount(sample, weight * measured, count) / np.maximum(total, 1e-9)
    edge, edge_m = np.zeros((2, count))
    edge[: len(outline.weight)], edge_m[: len(outline.weight)] = (
        outline.weight / (outline.weight + EDGE_WEIGHT),
        outline.offset_m,
    )
    depth = total / (total + 1) * (1 - edge)
    depth[: len(field.hair)] *= 1 - (1 - HAIR_DEPTH) * field.hair
    trust = edge + depth + PULL_TO_MEDIAN
    target = (edge * edge_m + depth * mean + PULL_TO_MEDIAN * np.median(measured)) / trust
    laplacian = _laplacian(field)
    solved: np.ndarray = spsolve((diags(trust) + SMOOTHING * laplacian).tocsc(), trust * target)
    return solved.astype(np.float32)


def _laplacian(field: BodyField):  # type: ignore[no-untyped-def]  # scipy's sparse matrices carry no types
    """Graph Laplacian of the coarse samples; neighbours count as far as they face the same way."""
    from scipy.sparse import coo_matrix, diags

    samples = field.clothed
    _, index = samples.tree.query(samples.points, k=GRAPH_NEIGHBOURS + 1)
    alike = np.einsum("sd,skd->sk", samples.normals, samples.normals[index[:, 1:]]).clip(0.01)
    here, there = np.arange(len(index))[:, None], index[:, 1:]
    alike[~field.together(here, there)] = 0
    own = len(field.coarse.points)
    alike[(here >= own) & (there >= own)] *= CLOTH_SMOOTHING
    for part, times in ((field.face, FACE_SMOOTHING), (field.hair, HAIR_SMOOTHING), (field.hands, FACE_SMOOTHING)):
        inside = np.append(part > 0.5, np.zeros(len(samples.points) - own, bool))
        alike[inside[here] & inside[there]] *= times
    rows = np.repeat(np.arange(len(index)), GRAPH_NEIGHBOURS)
    graph = coo_matrix((alike.ravel(), (rows, index[:, 1:].ravel())), (len(index), len(index))).tocsr()
    graph = (graph + graph.T) / 2
    return diags(np.asarray(graph.sum(axis=1)).ravel()) - graph
