"""The rest body as a field in space: at any canonical point, its skinning, the way the body faces, its distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.pipeline.body_rays import BodyRays
from dancedepth.pipeline.neighbours import nearest
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

LIMB_BONES = ("upperarm", "lowerarm", "wrist", "metacarpal", "finger", "upperleg", "lowerleg", "foot", "toe")
"""Names of the bones of arms and legs start so."""
FOOT_BONES = ("foot", "toe")
HAND_BONES = ("wrist", "metacarpal", "finger")
"""And of those of hands, so."""


@dataclass(frozen=True)
class FieldValues:
    """The field at `q` points."""

    skin: Float[np.ndarray, "q j"]
    """Linear blend skinning weights of every bone; rows sum to one."""
    normal: Float[np.ndarray, "q 3"]
    """Mean outward normal of the nearby body; shorter than one where the body faces several ways."""
    distance_m: Float[np.ndarray, "q"]
    """To the nearest surface sample, unsigned."""


@dataclass(frozen=True)
class SurfaceSamples:
    """Points spread evenly over the rest skin."""

    points: Float[np.ndarray, "s 3"]
    normals: Float[np.ndarray, "s 3"]
    skin: Float[np.ndarray, "s j"]
    tree: cKDTree


class BodyField:
    """Smooth skinning weights, normals and signed distance around one rest body."""

    def __init__(self, body: BodyModel, rest: RestBody) -> None:
        self.vertices = rest.vertices.cpu().numpy().astype(np.float32)
        self.faces = body.faces.cpu().numpy()
        self.bones = len(body.bone_names)
        dense = torch.zeros(len(rest.vertices), self.bones)
        dense.scatter_add_(1, body.skin_bones.cpu(), body.skin_weights.cpu())
        self._rays = BodyRays(self.vertices, self.faces)
        fine = _sample(self.vertices, self.faces, dense.numpy(), FINE_SPACING_M)
        coarse = _sample(self.vertices, self.faces, dense.numpy(), COARSE_SPACING_M)
        hidden = self._rays.enclosed(fine.points + LIFT_M * fine.normals)
        self.fine = _kept(fine, ~hidden)
        self.coarse = _kept(coarse, ~self._rays.enclosed(coarse.points + LIFT_M * coarse.normals))
        self.sparse = _sample(self.vertices, self.faces, dense.numpy(), SPARSE_SPACING_M)
        self.head_bones: Bool[np.ndarray, "j"] = _below(body, "head")
        """The head and what hangs on it."""
        limbs = [name.startswith(LIMB_BONES) for name in body.bone_names]
        self.limbs: Float[np.ndarray, "s"] = self.coarse.skin[:, limbs].sum(axis=1)
        """How far each coarse sample belongs to an arm or leg, 0-1."""
        hands = [name.startswith(HAND_BONES) for name in body.bone_names]
        self.hands: Float[np.ndarray, "s"] = self.coarse.skin[:, hands].sum(axis=1)
        """The same for hands."""
        heads = self.head_bones | np.array([name.startswith(FOOT_BONES) for name in body.bone_names])
        self.bare: Float[np.ndarray, "s"] = self.hands + self.coarse.skin[:, heads].sum(axis=1)
        """And of what clothes do not hide: hands, head and feet."""
        self._cavities = cKDTree(fine.points[hidden]) if hidden.any() else None

    def at(self, points: Float[np.ndarray, "q 3"]) -> FieldValues:
        """The field's values, continuous in space.

        Nearby samples are blended with weights that fall to zero at the farthest of them, so that nothing jumps when
        the set of neighbours changes. The reach grows with the distance from the body.
        """
        skin, normal, distance = _blend(self.fine, points, FINE_NEIGHBOURS)
        for samples, (near_m, far_m) in ((self.coarse, COARSE_FROM_M), (self.sparse, SPARSE_FROM_M)):
            far = np.clip((distance - near_m) / (far_m - near_m), 0, 1)
            rows = np.flatnonzero(far > 0)
            if len(rows):
                share = far[rows, None]
                wide_skin, wide_normal, _ = _blend(samples, points[rows], COARSE_NEIGHBOURS)
                skin[rows] += share * (wide_skin - skin[rows])
                normal[rows] += share * (wide_normal - normal[rows])
        return FieldValues(skin, normal, distance)

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
        weights, _ = _neighbour_weights(self.coarse, points, COARSE_NEIGHBOURS)
        blended: np.ndarray = weights @ values
        return blended

    def signed_distance(self, points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q"]:
        """Metres to the rest body's outer surface, negative inside; the mouth and the eye sockets count as inside."""
        distance = self._rays.signed_distance(points)
        if self._cavities is not None:
            near = np.flatnonzero((distance > 0) & (distance < CAVITY_M))
            near = near[np.isfinite(self._cavities.query(points[near], distance_upper_bound=CAVITY_M)[0])]
            inner = near[self._rays.enclosed(points[near])]
            distance[inner] *= -1
        return distance


def _below(body: BodyModel, top: str) -> Bool[np.ndarray, "j"]:
    """A bone and all its descendants."""
    inside = np.zeros(len(body.bone_names), dtype=bool)
    for bone, parent in enumerate(body.bone_parents):
        inside[bone] = body.bone_names[bone] == top or (parent >= 0 and inside[parent])
    return inside


def _blend(
    samples: SurfaceSamples, points: Float[np.ndarray, "q 3"], count: int
) -> tuple[Float[np.ndarray, "q j"], Float[np.ndarray, "q 3"], Float[np.ndarray, "q"]]:
    weights, distance = _neighbour_weights(samples, points, count)
    return weights @ samples.skin, weights @ samples.normals, distance


def _neighbour_weights(  # type: ignore[no-untyped-def]  # scipy's sparse matrices carry no types
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


def _kept(samples: SurfaceSamples, keep: Bool[np.ndarray, "s"]) -> SurfaceSamples:
    points = samples.points[keep]
    return SurfaceSamples(points, samples.normals[keep], samples.skin[keep], cKDTree(points))


def _sample(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    skin: Float[np.ndarray, "v j"],
    spacing_m: float,
) -> SurfaceSamples:
    """One random surface point in every cell of `spacing_m` that the surface crosses; the same for the same body."""
    random = np.random.default_rng(0)
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1) / 2
    count = int(4 * area.sum() / spacing_m**2)
    face = random.choice(len(faces), count, p=area / area.sum())
    u, v = random.random((2, count))
    root = np.sqrt(u)
    barycentric = np.stack((1 - root, root * (1 - v), root * v), axis=1).astype(np.float32)
    points = np.einsum("sc,scd->sd", barycentric, corners[face])
    _, kept = np.unique(np.floor(points / spacing_m).astype(np.int64), axis=0, return_index=True)
    face, barycentric, points = face[kept], barycentric[kept], points[kept]
    normals = cross[face] / (2 * area[face, None])
    blended = np.einsum("sc,scj->sj", barycentric, skin[faces[face]])
    return SurfaceSamples(points, normals.astype(np.float32), blended.astype(np.float32), cKDTree(points))
