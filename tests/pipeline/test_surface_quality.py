"""Coverage, folds and flicker of surfaces whose answers are known."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from dancedepth.models.body import BodyModel
from dancedepth.models.geometry import Camera
from dancedepth.pipeline.records import ImageSequence, Surface
from dancedepth.pipeline.surface import vertex_normals, welded
from dancedepth.pipeline.surface_quality import bending, flicker, measure_surface, silhouette_iou

from tests.scenes import Scene, dancer, turning


@pytest.fixture(scope="module")
def scene(body: BodyModel) -> Scene:
    return dancer(body, 3, turning(24), Camera.centred(400.0, 240, 320))


@pytest.fixture(scope="module")
def surface(scene: Scene) -> Surface:
    """The scene's true surface; its upper half was seen."""
    count = len(scene.vertices)
    return Surface(
        vertices=scene.vertices,
        faces=scene.faces,
        normals=vertex_normals(scene.vertices, scene.faces),
        colors=np.zeros((count, 3), np.uint8),
        observed=(scene.vertices[:, 2] > np.median(scene.vertices[:, 2])).astype(np.float32),
        skin_weights=scene.skin_weights,
        skin_bones=scene.skin_bones,
    )


def sheet(wave_m: float) -> tuple[np.ndarray, np.ndarray]:
    """A square metre with ridges of this amplitude, 5 cm apart."""
    x, y = np.meshgrid(np.linspace(0, 1, 201), np.linspace(0, 1, 201), indexing="ij")
    points = np.stack((x, y, wave_m * np.sin(2 * np.pi * x / 0.05)), axis=-1).reshape(-1, 3)
    index = np.arange(201 * 201).reshape(201, 201)
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    return points, np.concatenate((np.stack((a, b, c), axis=1), np.stack((a, c, d), axis=1)))


def test_folds_bend_a_sheet_and_more_so_the_deeper_they_are() -> None:
    flat, shallow, deep = (bending(*sheet(wave_m)) for wave_m in (0.0, 0.001, 0.002))
    assert flat == pytest.approx(0, abs=1e-6)
    assert shallow > 1e-3
    assert deep == pytest.approx(4 * shallow, rel=0.25), "the square of the slope"


def test_a_ball_bends_less_than_a_crumpled_one() -> None:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.2)
    noise = 0.003 * np.sin(ball.vertices @ np.array([200.0, 150.0, 100.0]))
    crumpled = ball.vertices * (1 + noise[:, None] / 0.2)
    assert bending(crumpled, ball.faces) > 4 * bending(ball.vertices, ball.faces)


def test_depth_that_follows_the_body_does_not_flicker(scene: Scene, surface: Surface) -> None:
    change = flicker(surface, scene.motion, scene.geometry.depth)
    assert change is not None
    assert change < 1.5, "the steps of the pixels"


def test_flicker_is_how_far_the_depth_jumps(scene: Scene, surface: Surface) -> None:
    def jumping(index: int) -> np.ndarray:
        depth_m = scene.geometry.depth.load(index)
        return np.where(depth_m > 0, depth_m + 0.02 * (index % 2), 0)

    change = flicker(surface, scene.motion, ImageSequence(scene.geometry.depth.indices, jumping))
    assert change == pytest.approx(20, abs=1.5)


def test_flicker_needs_two_frames_in_a_row(scene: Scene, surface: Surface) -> None:
    assert flicker(surface, scene.motion, ImageSequence((0, 2), scene.geometry.depth.load)) is None


def test_coverage_is_a_share_of_the_area_whatever_the_seams(scene: Scene, surface: Surface) -> None:
    corners = surface.faces.ravel()
    names = ("vertices", "normals", "colors", "observed", "skin_weights", "skin_bones")
    split = replace(
        surface,
        faces=np.arange(len(corners)).reshape(-1, 3),
        **{name: getattr(surface, name)[corners] for name in names},
    )
    assert len(welded(split).vertices) == len(np.unique(surface.vertices.astype(np.float32), axis=0))
    measured = measure_surface(split, scene.motion, scene.mattes, scene.geometry.depth, scene.vertices, scene.faces)
    area = trimesh.Trimesh(surface.vertices, surface.faces, process=False).area_faces
    upper = surface.observed[surface.faces].mean(axis=1)
    assert measured.coverage == pytest.approx((area * upper).sum() / area.sum(), abs=0.02)
    assert abs(measured.fold_detail) < 0.2 * bending(scene.vertices, scene.faces), "no folds, but a mouth inside"


def test_the_true_surface_covers_its_mattes_and_a_fat_one_does_not(scene: Scene, surface: Surface) -> None:
    exact = silhouette_iou(surface, scene.motion, scene.mattes)
    fat = silhouette_iou(
        replace(surface, vertices=surface.vertices + 0.03 * surface.normals), scene.motion, scene.mattes
    )
    assert exact is not None and fat is not None
    assert exact > 0.98
    assert 0.6 < fat < 0.9
    nothing = ImageSequence((), scene.mattes.load)
    assert silhouette_iou(surface, scene.motion, nothing) is None
