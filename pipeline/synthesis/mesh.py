"""Triangle meshes that know where each of their points lies on the average adult, and how it is skinned.

Garments are cut by fields that are evaluated on the average adult, so one cut fits every body.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

FAR_M = 1.0
"""Distance to a hem where there is none."""


@dataclass(frozen=True)
class Mesh:
    """A surface in rest pose; rows are vertices."""

    rest: Float[Tensor, "v 3"]
    """On this body, metres."""
    template: Float[Tensor, "v 3"]
    """The same point on the average adult, metres."""
    weights: Float[Tensor, "v j"]
    """Skinning weights over all bones."""
    hem: Float[Tensor, "v"]
    """Distance to the nearest cut, metres."""
    cavity: Float[Tensor, "v"]
    """How deep in a fold, 0-1."""
    faces: Int[Tensor, "f 3"]

    @classmethod
    def of(
        cls,
        rest: Float[Tensor, "v 3"],
        template: Float[Tensor, "v 3"],
        weights: Float[Tensor, "v j"],
        faces: Int[Tensor, "f 3"],
    ) -> Mesh:
        """A mesh without hems and folds, of the vertices that its faces use."""
        zeros = torch.zeros_like(rest[:, 0])
        return compact(cls(rest, template, weights, zeros + FAR_M, zeros, faces))


def compact(mesh: Mesh) -> Mesh:
    """The same mesh without vertices that no face uses."""
    used, faces = mesh.faces.unique(return_inverse=True)
    return Mesh(
        mesh.rest[used], mesh.template[used], mesh.weights[used], mesh.hem[used], mesh.cavity[used], faces.view(-1, 3)
    )


def kept_faces(mesh: Mesh, keep: Bool[Tensor, "v"]) -> Mesh:
    """The faces of which at least one vertex is to be kept."""
    return compact(replace(mesh, faces=mesh.faces[keep[mesh.faces].any(dim=1)]))


def subdivide(mesh: Mesh, rounds: int = 1) -> Mesh:
    """Cut every triangle into four at its edges' middles, `rounds` times."""
    for _ in range(rounds):
        edges, index = _edges(mesh.faces)
        middle = (index + len(mesh.rest)).view(3, -1)
        a, b, c = mesh.faces.unbind(dim=1)
        ab, bc, ca = middle
        faces = torch.cat([torch.stack(t, dim=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))], dim=0)
        half = mesh.rest.new_full((len(edges), 1), 0.5)
        mesh = _with_points_between(mesh, edges[:, 0], edges[:, 1], half, faces)
    return mesh


def clip(mesh: Mesh, field: Float[Tensor, "v"]) -> Mesh:
    """What lies where `field` (metres, linear over each triangle) is positive, cut along its zero line."""
    field = torch.where(field.abs() < 1e-6, 1e-6, field)
    inside = field > 0
    count = inside[mesh.faces].sum(dim=1)
    crossed = mesh.faces[(count == 1) | (count == 2)]
    if not len(crossed):
        cut = replace(mesh, hem=torch.minimum(mesh.hem, field), faces=mesh.faces[count == 3])
        return compact(cut)
    odd_is_inside = inside[crossed].sum(dim=1) == 1
    odd = (inside[crossed] == odd_is_inside[:, None]).long().argmax(dim=1)
    turned = torch.stack([crossed.gather(1, ((odd + k) % 3)[:, None])[:, 0] for k in range(3)], dim=1)
    edges, index = _unique_edges(torch.cat((turned[:, [0, 1]], turned[:, [0, 2]])))
    share = field[edges[:, 0]] / (field[edges[:, 0]] - field[edges[:, 1]])
    first, second = (index + len(mesh.rest)).view(2, -1)
    one = torch.stack((turned[:, 0], first, second), dim=1)[odd_is_inside]
    rest_of = ~odd_is_inside
    two = torch.stack((first, turned[:, 1], turned[:, 2]), dim=1)[rest_of]
    three = torch.stack((first, turned[:, 2], second), dim=1)[rest_of]
    faces = torch.cat((mesh.faces[count == 3], one, two, three))
    marked = replace(mesh, hem=torch.minimum(mesh.hem, field))
    return compact(_with_points_between(marked, edges[:, 0], edges[:, 1], share[:, None], faces))


def face_normals(points: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "f 3"]:
    """Outward normals, as long as twice the triangles' areas."""
    a, b, c = points[faces].unbind(dim=1)
    return torch.linalg.cross(b - a, c - a, dim=1)


def vertex_normals(points: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v 3"]:
    """Unit normals, area-weighted over the faces around each vertex."""
    normals = face_normals(points, faces)
    total = torch.zeros_like(points)
    for corner in range(3):
        total.index_add_(0, faces[:, corner], normals)
    return torch.nn.functional.normalize(total, dim=1, eps=1e-20)


def border(faces: Int[Tensor, "f 3"]) -> Int[Tensor, "b"]:
    """Vertices on open edges."""
    edges, index = _edges(faces)
    return edges[index.bincount() == 1].unique()


def smoothed(
    values: Float[Tensor, "v c"], faces: Int[Tensor, "f 3"], rounds: int, strength: float = 0.5
) -> Float[Tensor, "v c"]:
    """Each vertex's value drawn towards its neighbours' mean, `rounds` times; open edges stay on their line."""
    edges, _ = _edges(faces)
    open_edge = torch.zeros(len(values), dtype=torch.bool, device=values.device)
    open_edge[border(faces)] = True
    a, b = edges.unbind(dim=1)
    # A border vertex listens to its border neighbours only, so that hems do not creep inwards.
    hears_b = (~open_edge[a] | open_edge[b]).to(values)[:, None]
    hears_a = (~open_edge[b] | open_edge[a]).to(values)[:, None]
    degree = torch.zeros_like(values[:, :1]).index_add_(0, a, hears_b).index_add_(0, b, hears_a).clamp_min(1)
    for _ in range(rounds):
        total = torch.zeros_like(values).index_add_(0, a, values[b] * hears_b).index_add_(0, b, values[a] * hears_a)
        values = values + strength * (total / degree - values)
    return values


def _edges(faces: Int[Tensor, "f 3"]) -> tuple[Int[Tensor, "e 2"], Int[Tensor, "3f"]]:
    """Undirected edges, and which one each side (ab of all faces, bc of all, ca of all) is."""
    return _unique_edges(torch.cat((faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]])))


def _unique_edges(sides: Int[Tensor, "s 2"]) -> tuple[Int[Tensor, "e 2"], Int[Tensor, "s"]]:
    sides = sides.sort(dim=1).values
    radix = int(sides.max()) + 1
    keys, index = (sides[:, 0] * radix + sides[:, 1]).unique(return_inverse=True)
    return torch.stack((keys // radix, keys % radix), dim=1), index


def _with_points_between(
    mesh: Mesh, a: Int[Tensor, "n"], b: Int[Tensor, "n"], share: Float[Tensor, "n 1"], faces: Int[Tensor, "f 3"]
) -> Mesh:
    """The mesh with a point added on each edge (a, b), `share` of the way, and with new faces."""

    def extended(values: Float[Tensor, "v c"]) -> Float[Tensor, "w c"]:
        return torch.cat((values, values[a] * (1 - share) + values[b] * share))

    return Mesh(
        extended(mesh.rest),
        extended(mesh.template),
        extended(mesh.weights),
        extended(mesh.hem[:, None])[:, 0],
        extended(mesh.cavity[:, None])[:, 0],
        faces,
    )
