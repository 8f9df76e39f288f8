import torch
from dancedepth.pipeline.synthesis.mesh import Mesh, border, clip, face_normals, smoothed, subdivide, vertex_normals


def square(cells: int = 4) -> Mesh:
    """The unit square in the xy plane, facing +z."""
    line = torch.linspace(0, 1, cells + 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack((x, y, 0 * x), dim=2).view(-1, 3)
    index = torch.arange((cells + 1) ** 2).view(cells + 1, -1)
    a, b, c, d = (index[i : cells + i, j : cells + j].flatten() for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
    faces = torch.cat((torch.stack((a, b, d), dim=1), torch.stack((a, d, c), dim=1)))
    return Mesh.of(points, points.clone(), torch.eye(2)[(points[:, 0] > 0.5).long()], faces)


def area(mesh: Mesh) -> float:
    return float(face_normals(mesh.rest, mesh.faces).norm(dim=1).sum() / 2)


def test_clip_cuts_along_the_line_and_keeps_the_winding() -> None:
    mesh = square()
    x, y, _ = mesh.template.unbind(dim=1)
    cut = clip(mesh, 0.9 - x - 0.5 * y)
    assert abs(area(cut) - (0.9 + 0.4) / 2) < 1e-5
    assert (face_normals(cut.rest, cut.faces)[:, 2] > -1e-9).all()
    inside = 0.9 - cut.template[:, 0] - 0.5 * cut.template[:, 1]
    assert float(inside.min()) > -1e-5
    torch.testing.assert_close(cut.hem, inside, atol=2e-5, rtol=0)
    torch.testing.assert_close(cut.weights.sum(dim=1), torch.ones(len(cut.rest)))


def test_clip_keeps_all_or_nothing_where_the_line_misses() -> None:
    mesh = square()
    assert abs(area(clip(mesh, torch.ones(len(mesh.rest)))) - 1) < 1e-6
    assert len(clip(mesh, -torch.ones(len(mesh.rest))).faces) == 0


def test_subdividing_keeps_the_surface() -> None:
    fine = subdivide(square(2), 2)
    assert len(fine.faces) == 8 * 16
    assert abs(area(fine) - 1) < 1e-6
    torch.testing.assert_close(
        vertex_normals(fine.rest, fine.faces), torch.tensor([0.0, 0, 1]).expand(len(fine.rest), 3)
    )


def test_smoothing_flattens_the_inside_and_leaves_hems_on_their_line() -> None:
    mesh = square(8)
    bumpy = mesh.rest.clone()
    edge = border(mesh.faces)
    inner = torch.ones(len(bumpy), dtype=torch.bool)
    inner[edge] = False
    bumpy[inner, 2] = 0.1 * (-1.0) ** torch.arange(int(inner.sum()))
    smooth = smoothed(bumpy, mesh.faces, 20)
    assert float(smooth[inner, 2].abs().max()) < 0.03
    assert float(smooth[edge, 2].abs().max()) == 0
