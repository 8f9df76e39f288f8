"""A dressed person: one coloured surface in rest pose with skinning weights, drawn from a seed.

Every posed frame is linear blend skinning of this one surface: the truth that a reconstruction is held against.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from dancedepth.models.body import SKIN_VERTICES, BodyModel, RestBody
from dancedepth.models.body_file import SKIN_WEIGHTS_KEPT
from dancedepth.pipeline.synthesis import anatomy
from dancedepth.pipeline.synthesis.face import Eyes
from dancedepth.pipeline.synthesis.folds import Folds, draw_folds
from dancedepth.pipeline.synthesis.garments import Garment
from dancedepth.pipeline.synthesis.hair import hair, hair_uv
from dancedepth.pipeline.synthesis.materials import Material, Samples
from dancedepth.pipeline.synthesis.mesh import Mesh, border, vertex_normals
from dancedepth.pipeline.synthesis.outfit import Outfit, draw_outfit, sew, with_long_wear
from dancedepth.pipeline.synthesis.wardrobe import Asset, Wardrobe, fit_asset
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

UNDER_HAT_M = 0.004
"""Thickness of hair that a hat has to fit over."""
UNDER_M = 0.03
"""Skin within this of a garment's inside lies under it."""
OVERLAP_M = 0.035
"""Skin and lower clothes are kept this far below a hem, so that nobody sees where they end."""


@dataclass(frozen=True)
class DressedBody:
    """The canonical dressed surface, in the body's rest axes, metres; rows are vertices or triangles."""

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    skin_weights: Float[Tensor, "v 8"]
    skin_bones: Int[Tensor, "v 8"]
    pattern: Float[Tensor, "v 5"]
    """Position on the average adult (cloth: arms down), distance to the hem, depth in a fold."""
    corner_uv: Float[Tensor, "f 3 2"]
    """Texture coordinates of each triangle's corners."""
    face_material: Int[Tensor, "f"]
    """Index into `materials`."""
    materials: tuple[Material, ...]
    description: tuple[str, ...] = field(default=())
    """What the person wears, in words."""
    folds: tuple[Folds | None, ...] = field(default=())
    """Of each of `materials`; empty: the mesh has all the folds there are."""

    @property
    def colors(self) -> UInt8[Tensor, "v 3"]:
        """sRGB colours of the vertices."""
        uv = self.corner_uv.new_zeros(len(self.vertices), 2)
        owner = self.face_material.new_zeros(len(self.vertices))
        for corner in range(3):
            uv[self.faces[:, corner]] = self.corner_uv[:, corner]
            owner[self.faces[:, corner]] = self.face_material
        linear = self.albedo(owner, self.pattern, uv)
        return (linear.clamp(0, 1) ** (1 / 2.2) * 255).round().to(torch.uint8)

    def albedo(
        self, material: Int[Tensor, "p"], pattern: Float[Tensor, "p 5"], uv: Float[Tensor, "p 2"]
    ) -> Float[Tensor, "p 3"]:
        """Linear colour of samples on the surface."""
        color = pattern.new_zeros(len(pattern), 3)
        for index, look in enumerate(self.materials):
            rows = torch.nonzero(material == index)[:, 0]
            if len(rows):
                at = pattern[rows]
                color[rows] = look.albedo(Samples(at[:, :3], at[:, 3], at[:, 4], uv[rows]))
        return color.clamp(0, 1)

    def opaque_faces(self) -> Int[Tensor, "f 3"]:
        """Triangles without those that a cut-out texture (hair cards) makes see-through in the middle."""
        keep = torch.ones_like(self.face_material, dtype=torch.bool)
        for index, look in enumerate(self.materials):
            rows = torch.nonzero(self.face_material == index)[:, 0]
            opaque = look.opaque(self.corner_uv[rows].mean(dim=1)) if len(rows) else None
            if opaque is not None:
                keep[rows] = opaque
        return self.faces[keep]


@dataclass(frozen=True)
class _Part:
    mesh: Mesh
    material: Material
    position: Float[Tensor, "v 3"]
    corner_uv: Float[Tensor, "f 3 2"]
    cloth: str | None = None
    """What kind of cloth folds; None: it does not."""
    folds: Folds | None = None


def dress(
    body: BodyModel,
    rest: RestBody,
    seed: int,
    detail: int = 2,
    wardrobe: Wardrobe | None = None,
    names: tuple[str, ...] = (),
    fine_folds: bool = False,
    long_wear: bool = False,
) -> DressedBody:
    """A person in clothes.

    Args:
        body: the body model.
        rest: this person's unposed body, at its final height.
        seed: of everything random.
        detail: how finely cloth and hair are divided; 2 gives about 6 mm, 1 twice that at a quarter of the work.
        wardrobe: MakeHuman assets to wear instead of procedural ones.
        names: which of them; empty: drawn by the seed.
        fine_folds: whether the renderer adds folds that are finer than the mesh.
        long_wear: whether some wear dresses, coats and loose sleeves.
    """
    generator = torch.Generator().manual_seed(seed)
    outfit = draw_outfit(generator)
    if long_wear:
        outfit = with_long_wear(outfit, seed)
    assets = wardrobe.draw(generator, names) if wardrobe is not None else ()
    skin = wardrobe.skin(generator, names) if wardrobe is not None else None
    garments = sew(body, rest, outfit, detail, without=frozenset(kind for asset in assets for kind in asset.replaces))
    parts = [_skin(body, rest, outfit, garments, assets, skin), _eyes(body, rest, outfit)]
    parts += [_worn(body, garments, index, outfit) for index in range(len(garments))]
    if not any("hair" in asset.replaces for asset in assets):
        if any(not asset.replaces for asset in assets):
            outfit = replace(outfit, hair_style="short", hair_m=UNDER_HAT_M)
        pieces = hair(body, rest, outfit.hair_style, outfit.hair_m * rest.height_m / 1.75, detail, outfit.seed)
        parts += [_procedural_hair(mesh, outfit) for mesh in pieces]
    parts += [_asset_part(body, rest, asset) for asset in assets]
    if fine_folds:
        parts = [_folded(part, outfit.seed + index) for index, part in enumerate(parts)]
    described = tuple(asset.name for asset in assets) + tuple(g.name for g in garments)
    return _joined([part for part in parts if len(part.mesh.faces)], described)


def _skin(
    body: BodyModel,
    rest: RestBody,
    outfit: Outfit,
    garments: list[Garment],
    assets: tuple[Asset, ...],
    skin: Material | None,
) -> _Part:
    """The skin that no clothes hide."""
    template, weights = anatomy.average_adult(body), anatomy.dense_weights(body)
    hidden = torch.zeros(len(template), dtype=torch.bool, device=template.device)
    for garment in garments:
        hidden |= garment.cover(template, weights) > OVERLAP_M * (2 if garment.name == "skirt" else 1)
    for asset in assets:
        hidden[asset.hides] = True
        if asset.replaces and "hair" not in asset.replaces:
            hidden[:SKIN_VERTICES] |= beneath(fit_asset(asset, rest.vertices, template, weights), rest)
    shown = (body.faces < SKIN_VERTICES).all(dim=1) & ~hidden[body.faces].all(dim=1)
    used, faces = body.faces[shown].unique(return_inverse=True)
    far = torch.ones_like(rest.vertices[used, 0])
    mesh = Mesh(rest.vertices[used], template[used], weights[used], far, 0 * far, faces.view(-1, 3))
    return _Part(mesh, skin or outfit.skin, mesh.template, body.texture_uv[body.face_texture_index[shown]])


def beneath(mesh: Mesh, rest: RestBody) -> Bool[Tensor, "s"]:
    """Skin vertices just under a garment and well inside its hems, which its makers did not list as hidden."""
    normals = vertex_normals(mesh.rest, mesh.faces)
    skin = rest.vertices[:SKIN_VERTICES]
    nearest = torch.cat([torch.cdist(part, mesh.rest).min(dim=1).indices for part in skin.split(2048)])
    offset = skin - mesh.rest[nearest]
    inside = ((offset * normals[nearest]).sum(dim=1) < 0) & (offset.norm(dim=1) < UNDER_M)
    hems = mesh.rest[border(mesh.faces)]
    if not len(hems):
        return inside
    to_hem = torch.cat([torch.cdist(part, hems).amin(dim=1) for part in skin.split(2048)])
    return inside & (to_hem > OVERLAP_M)


def _eyes(body: BodyModel, rest: RestBody, outfit: Outfit) -> _Part:
    faces = body.faces[(body.faces >= SKIN_VERTICES).all(dim=1)]
    mesh = Mesh.of(rest.vertices, anatomy.average_adult(body), anatomy.dense_weights(body), faces)
    return _Part(mesh, Eyes(outfit.iris), mesh.template, mesh.rest.new_zeros(len(faces), 3, 2))


def _worn(body: BodyModel, garments: list[Garment], index: int, outfit: Outfit) -> _Part:
    """One garment, without what those worn over it hide."""
    garment = garments[index]
    mesh = garment.mesh
    for over in garments[index + 1 :]:
        hidden = over.cover(mesh.template, mesh.weights) > OVERLAP_M
        mesh = replace(mesh, faces=mesh.faces[~hidden[mesh.faces].all(dim=1)])
    used, faces = mesh.faces.unique(return_inverse=True)
    mesh = Mesh(
        mesh.rest[used], mesh.template[used], mesh.weights[used], mesh.hem[used], mesh.cavity[used], faces.view(-1, 3)
    )
    position = mesh.template if garment.name == "shoes" else _arms_down(body, mesh)
    corner_uv = mesh.rest.new_zeros(len(mesh.faces), 3, 2)
    return _Part(
        mesh, outfit.materials[garment.name], position, corner_uv, garment.name if garment.name != "shoes" else None
    )


def _arms_down(body: BodyModel, mesh: Mesh) -> Float[Tensor, "v 3"]:
    poses = anatomy.arms_down_poses(body)
    rows = (mesh.weights @ poses[:, :3].reshape(len(poses), 12)).view(-1, 3, 4)
    return (rows[..., :3] @ mesh.template[..., None])[..., 0] + rows[..., 3]


def _procedural_hair(mesh: Mesh, outfit: Outfit) -> _Part:
    return _Part(mesh, outfit.hair, mesh.template, hair_uv(mesh.template)[mesh.faces])


def _asset_part(body: BodyModel, rest: RestBody, asset: Asset) -> _Part:
    mesh = fit_asset(asset, rest.vertices, anatomy.average_adult(body), anatomy.dense_weights(body))
    cloth = "suit" if asset.replaces & {"top", "lower"} else None
    position = _arms_down(body, mesh) if cloth else mesh.template
    return _Part(mesh, asset.material, position, asset.corner_uv.to(mesh.rest), cloth)


def _folded(part: _Part, seed: int) -> _Part:
    """With folds of its own, if it is cloth."""
    return replace(part, folds=draw_folds(seed, pleated=part.cloth == "skirt")) if part.cloth else part


def _joined(parts: list[_Part], description: tuple[str, ...]) -> DressedBody:
    offsets = torch.tensor([0] + [len(part.mesh.rest) for part in parts]).cumsum(0).tolist()
    weights = torch.cat([part.mesh.weights for part in parts])
    kept, bones = weights.topk(SKIN_WEIGHTS_KEPT, dim=1)
    pattern = [torch.cat((p.position, p.mesh.hem[:, None], p.mesh.cavity[:, None]), dim=1) for p in parts]
    owner = [torch.full_like(part.mesh.faces[:, 0], index) for index, part in enumerate(parts)]
    return DressedBody(
        vertices=torch.cat([part.mesh.rest for part in parts]),
        faces=torch.cat([part.mesh.faces + offset for part, offset in zip(parts, offsets, strict=False)]),
        skin_weights=kept / kept.sum(dim=1, keepdim=True),
        skin_bones=bones,
        pattern=torch.cat(pattern),
        corner_uv=torch.cat([part.corner_uv for part in parts]),
        face_material=torch.cat(owner),
        materials=tuple(part.material for part in parts),
        description=description,
        folds=tuple(part.folds for part in parts) if any(part.folds for part in parts) else (),
    )
