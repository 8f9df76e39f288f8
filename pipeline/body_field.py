"""The rest body as a field in space: at any canonical point, its skinning, the way the body faces, its distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.pipeline.body_rays import BodyRays
from dancedepth.pipeline.leg_gaps import ARM_BONES
from dancedepth.pipeline.neighbours import nearest
from dancedepth.pipeline.skirt import Skin, Skirt
from dancedepth.pipeline.skirt_evidence import Hem
from dancedepth.pipeline.surface_samples import SurfaceSamples, spread_samples
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

SKIN_BONES_KEPT = 8
"""Bones that move one voxel block or body sample."""
FINE_SPACING_M = 0.006
COARSE_SPACING_M = 0.025
SPARSE_SPACING_M = 0.06
"""Surface samples near the body must tell fingers apart; far from it, wide ones blend a skirt between both legs."""
FINE_NEIGHBOURS = 16
COARSE_NEIGHBOURS = 24
COARSE_FROM_M = (0.015, 0.04)
"""Coarse samples take over from the fine ones between these distances from the body."""
SPARSE_FROM_M = (0.04, 0.12)
"""And sparse ones from the coarse."""
LIFT_M = 0.001
"""Rays start this far off the skin."""
CAVITY_M = 0.015
"""The mouth and the eye sockets are no wider than twice this."""
HEAD_SHARE, FACE_DEPTH, FACE_HEIGHT = 0.9, 0.45, 0.65
"""Points that belong to the head by the first lie in its bare face if they lie in its front (share of its depth) and
below its hair (share of its height)."""

LIMB_BONES = ("upperarm", "lowerarm", "wrist", "metacarpal", "finger", "upperleg", "lowerleg", "foot", "toe")
"""Names of the bones of arms and legs start so."""
FOOT_BONES = ("foot", "toe")
HAND_BONES = ("wrist", "metacarpal", "finger")
"""And of those of hands, so."""
NECK_BONES = ("neck",)
SHOULDER, ARMPIT_SHARE = (0.3, 0.7), 0.1
"""Skin that belongs to an arm by between these lies around the shoulder; its lowest part is the armpit."""


@dataclass(frozen=True)
class FieldValues:
    """The field at `q` points."""

    skin: Float[np.ndarray, "q j"]
    """Linear blend skinning weights of every bone; rows sum to one."""
    normal: Float[np.ndarray, "q 3"]
    """Mean outward normal of the nearby body; shorter than one where the body faces several ways."""
    distance_m: Float[np.ndarray, "q"]
    """To the nearest surface sample, unsigned."""


class BodyField:
    """Smooth skinning weights, normals and signed distance around one rest body, in a skirt if it wears one.

    Attributes:
        vertices, faces: what of the body and the skirt shows, as one mesh; parts of it meet without being joined.
        fine, coarse: samples of the skin that shows.
        clothed: the coarse ones, and then such of the skirt.
        skirt: the skirt, None without one.
    """

    def __init__(self, body: BodyModel, rest: RestBody, hem: Hem | None = None) -> None:
        self.vertices = rest.vertices.cpu().numpy().astype(np.float32)
        self.faces = body.faces.cpu().numpy()
        self.bones = len(body.bone_names)
        dense = torch.zeros(len(rest.vertices), self.bones)
        dense.scatter_add_(1, body.skin_bones.cpu(), body.skin_weights.cpu())
        skin = Skin(self.vertices, self.faces, dense.numpy(), body.bone_names)
        self.skirt = None if hem is None else Skirt(skin, hem)
        self._rays = BodyRays(self.vertices, self.faces)
        fine, coarse, sparse = (
            spread_samples(skin.vertices, skin.faces, skin.weights, spacing)
            for spacing in (FINE_SPACING_M, COARSE_SPACING_M, SPARSE_SPACING_M)
        )
        hidden = self._rays.enclosed(fine.points + LIFT_M * fine.normals)
        self.fine = self._shown(fine.kept(~hidden))
        self.coarse = self._shown(coarse.kept(~self._rays.enclosed(coarse.points + LIFT_M * coarse.normals)))
        self._layers = tuple(
            samples if self.skirt is None else samples.joined(self._loose(self.skirt.samples(spacing)))
            for samples, spacing in (
                (self.fine, FINE_SPACING_M),
                (self.coarse, COARSE_SPACING_M),
                (self._shown(sparse), SPARSE_SPACING_M),
            )
        )
        self.clothed = self._layers[1]
        if self.skirt is not None:
            self.vertices, self.faces = _dressed(skin, self.skirt, self._rays)
        self.head_bones: Bool[np.ndarray, "j"] = body.below("head").cpu().numpy()
        """The head and what hangs on it."""
        limbs = [name.startswith(LIMB_BONES) for name in body.bone_names]
        self.limbs: Float[np.ndarray, "s"] = self.coarse.skin[:, limbs].sum(axis=1)
        """How far each coarse sample belongs to an arm or leg, 0-1."""
        hands = [name.startswith(HAND_BONES) for name in body.bone_names]
        self.hands: Float[np.ndarray, "s"] = self.coarse.skin[:, hands].sum(axis=1)
        """The same for hands."""
        feet = [name.startswith(FOOT_BONES) for name in body.bone_names]
        self.feet: Float[np.ndarray, "s"] = self.coarse.skin[:, feet].sum(axis=1)
        """And for feet."""
        self.foot_skin: Float[np.ndarray, "q 3"] = self.fine.points[self.fine.skin[:, feet].sum(axis=1) > 0.5]
        """The fine samples of feet."""
        arms = self.fine.skin[:, [name.startswith(ARM_BONES) for name in body.bone_names]].sum(axis=1)
        joint = (arms > SHOULDER[0]) & (arms < SHOULDER[1])
        self.armpit_z = float(np.quantile(self.fine.points[joint, 2], ARMPIT_SHARE))
        below = (arms <= SHOULDER[0]) & (self.fine.points[:, 2] < self.armpit_z)
        self.trunk_skin: Float[np.ndarray, "q 3"] = self.fine.points[below]
        """The fine samples below the armpits, but for the arms."""
        head = self.coarse.skin[:, self.head_bones].sum(axis=1)
        neck = self.coarse.skin[:, [name.startswith(NECK_BONES) for name in body.bone_names]].sum(axis=1)
        self.face: Float[np.ndarray, "s"] = head * in_face(self.coarse.points, head)
        """And of the face below the hair."""
        self.hair: Float[np.ndarray, "s"] = head + neck - self.face
        """And of the rest of the head and of the neck."""
        self.bare: Float[np.ndarray, "s"] = self.hands + self.feet + head
        """And of what clothes do not hide: hands, head and feet."""
        self._cavities = cKDTree(fine.points[hidden]) if hidden.any() else None

    def at(self, points: Float[np.ndarray, "q 3"]) -> FieldValues:
        """The field's values, continuous in space.

        Nearby samples are blended with weights that fall to zero at the farthest of them, so that nothing jumps when
        the set of neighbours changes. The reach grows with the distance from the body.
        """
        fine, *wider = self._layers
        distance, _ = nearest(fine.tree, points, within_m=COARSE_FROM_M[1])
        skin, normal = np.zeros((len(points), self.bones), np.float32), np.zeros((len(points), 3), np.float32)
        near = np.flatnonzero(np.isfinite(distance))
        skin[near], normal[near], _ = _blend(fine, points[near], FINE_NEIGHBOURS)
        before = distance
        for samples, (near_m, far_m) in zip(wider, (COARSE_FROM_M, SPARSE_FROM_M), strict=True):
            rows = np.flatnonzero(before > near_m)
            share = np.clip((before[rows, None] - near_m) / (far_m - near_m), 0, 1).astype(np.float32)
            wide_skin, wide_normal, away = _blend(samples, points[rows], COARSE_NEIGHBOURS)
            skin[rows] += share * (wide_skin - skin[rows])
            normal[rows] += share * (wide_normal - normal[rows])
            before = np.zeros(len(points))
            before[rows] = away
            distance[rows] = np.minimum(distance[rows], away)
        return FieldValues(skin, normal, distance)

    def within(self, points: Float[np.ndarray, "q 3"], metres: float) -> Bool[np.ndarray, "q"]:
        """Which points are no farther from the nearest surface sample."""
        result: np.ndarray = np.isfinite(nearest(self._layers[0].tree, points, within_m=metres)[0])
        return result

    def top_bones(
        self, points: Float[np.ndarray, "q 3"], count: int
    ) -> tuple[Float[np.ndarray, "q k"], Int[np.ndarray, "q k"]]:
        """The strongest `count` bones at each point and their weights, which sum to one."""
        skin = self.at(points).skin
        order = np.argsort(-skin, axis=1)[:, :count]
        weights = np.take_along_axis(skin, order, axis=1)
        return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32), order

    def spread(self, values: Float[np.ndarray, "s c"], points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q c"]:
        """Values of the coarse samples, blended smoothly at points in space."""
        blended: np.ndarray = self.sharing(points) @ values
        return blended

    def sharing(  # type: ignore[no-untyped-def]  # scipy's sparse matrices carry no types
        self, points: Float[np.ndarray, "q 3"]
    ):
        """Sparse (q s): what each coarse sample contributes to what is spread at points."""
        weights, _ = neighbour_weights(self.coarse, points, COARSE_NEIGHBOURS)
        return weights

    def distance_to(self, points: Float[np.ndarray, "q 3"], sample: Int[np.ndarray, "q"]) -> Float[np.ndarray, "q"]:
        """Metres to the body or to the skirt's sides, whichever each point's sample of `clothed` belongs to."""
        distance = self.signed_distance(points)
        cloth = np.flatnonzero(sample >= len(self.coarse.points))
        if self.skirt is not None and len(cloth):
            distance[cloth] = self.skirt.signed_distance(points[cloth])
        return distance

    def together(self, one: Int[np.ndarray, "*n"], other: Int[np.ndarray, "*n"]) -> Bool[np.ndarray, "*n"]:
        """Whether samples of `clothed` may wear the same: a skirt runs on into what is above it, not into the legs."""
        z, cloth = self.clothed.points[:, 2], np.arange(len(self.clothed.points)) >= len(self.coarse.points)
        low = z < (-np.inf if self.skirt is None else self.skirt.hem.crotch_z)
        result: np.ndarray = (cloth[one] == cloth[other]) | ~(low[one] | low[other])
        return result

    def signed_distance(self, points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q"]:
        """Metres to the rest body's outer surface, negative inside; the mouth and the eye sockets count as inside."""
        distance = self._rays.signed_distance(points)
        if self._cavities is not None:
            near = np.flatnonzero((distance > 0) & (distance < CAVITY_M))
            near = near[np.isfinite(self._cavities.query(points[near], distance_upper_bound=CAVITY_M)[0])]
            inner = near[self._rays.enclosed(points[near])]
            distance[inner] *= -1
        return distance

    def outwards(self, points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q 3"]:
        """The rest body's normals where each point is nearest to it."""
        return self._rays.outwards(points)

    def _loose(self, cloth: SurfaceSamples) -> SurfaceSamples:
        """Without what sinks into the hips."""
        return cloth.kept(self._rays.signed_distance(cloth.points) > 0)

    def _shown(self, samples: SurfaceSamples) -> SurfaceSamples:
        return samples if self.skirt is None else samples.kept(~self.skirt.covers(samples.points))


def in_face(points: Float[np.ndarray, "v 3"], head: Float[np.ndarray, "v"]) -> Bool[np.ndarray, "v"]:
    """Which points, that belong to the head so far, lie in the bare face: the rest body faces -y and stands along z."""
    own = points[head > HEAD_SHARE]
    low, high = own.min(axis=0), own.max(axis=0)
    place = (points - low) / (high - low)
    inside: np.ndarray = (head > HEAD_SHARE) & (place[:, 1] < FACE_DEPTH) & (place[:, 2] < FACE_HEIGHT)
    return inside


def _dressed(skin: Skin, skirt: Skirt, body: BodyRays) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """The triangles of the body and of the skirt that do not lie wholly in one another."""
    bare = skin.faces[~skirt.covers(skin.vertices)[skin.faces].all(axis=1)]
    cloth = skirt.faces[(body.signed_distance(skirt.vertices) > 0)[skirt.faces].any(axis=1)]
    return np.concatenate((skin.vertices, skirt.vertices)), np.concatenate((bare, cloth + len(skin.vertices)))


def _blend(
    samples: SurfaceSamples, points: Float[np.ndarray, "q 3"], count: int
) -> tuple[Float[np.ndarray, "q j"], Float[np.ndarray, "q 3"], Float[np.ndarray, "q"]]:
    weights, distance = neighbour_weights(samples, points, count)
    return weights @ samples.skin, weights @ samples.normals, distance


def neighbour_weights(  # type: ignore[no-untyped-def]  # scipy's sparse matrices carry no types
    samples: SurfaceSamples, points: Float[np.ndarray, "q 3"], count: int
):
    """Sparse (q s) blending weights, rows summing to one, and each point's distance to its nearest sample."""
    from scipy.sparse import csr_matrix

    distance, index = nearest(samples.tree, points, count)
    squared = distance**2
    reach = squared[:, -1:] - squared[:, :1] + 1e-9
    weights = ((squared[:, -1:] - squared + 1e-9) / reach) ** 2
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.arange(0, index.size + 1, count)
    matrix = csr_matrix((weights.ravel().astype(np.float32), index.ravel(), rows), (len(points), len(samples.points)))
    return matrix, distance[:, 0].astype(np.float32)
