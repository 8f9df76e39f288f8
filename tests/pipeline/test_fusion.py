"""Fusion with exact depth and pose: any error is its own."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import open3d as o3d
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.geometry import Camera, depth_to_normals
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.errors import PersonError
from dancedepth.pipeline.frame_view import BodyProxy, FrameImages, FrameView, make_view
from dancedepth.pipeline.fusion import fuse
from dancedepth.pipeline.integration import integrate, integrate_tensors
from dancedepth.pipeline.records import GeometrySequence, ImageSequence, Silent, Surface
from dancedepth.pipeline.surface import pose_surface, welded
from dancedepth.pipeline.synthesis.character import dress
from dancedepth.pipeline.turntable import render

from tests.scenes import Scene, dancer, dressed_dancer, rest_body, still, turning

CONFIG = FusionConfig(voxel_m=0.008, truncation_m=0.03)
SEEN, UNSEEN = 0.5, 0.05
SKIN, BLUE = (0.8, 0.6, 0.5), (0.2, 0.3, 0.6)


def fused(scene: Scene, body: BodyModel) -> Surface:
    return fuse(scene.frames, scene.tracks, scene.mattes, scene.geometry, scene.motion, body, CONFIG, Silent())


def distance_mm(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    scene = o3d.t.geometry.RaycastingScene()
    share = o3d.core.Tensor.from_numpy
    scene.add_triangles(share(vertices.astype(np.float32)), share(faces.astype(np.uint32)))
    return 1000 * scene.compute_distance(share(points.astype(np.float32))).numpy()


@pytest.fixture(scope="module")
def dressed(body: BodyModel) -> SimpleNamespace:
    """Somebody in a top, trousers and shoes, who turns once with exact depth and pose, and what fusion makes of it."""
    clothed = dress(body, rest_body(body), seed=1, detail=1)
    scene = dressed_dancer(body, clothed, 16, turning(16), Camera.centred(500.0, 300, 400))
    return SimpleNamespace(scene=scene, surface=fused(scene, body))


def seen_from_the_front(body: BodyModel, paint: Callable[[torch.Tensor], torch.Tensor]) -> SimpleNamespace:
    """One arm across the chest in every frame."""
    arm = {"upperarm01.L": (-0.3, 0.6, -0.6), "lowerarm01.L": (-0.6, 0.0, -1.2)}
    scene = dancer(body, 4, still(arm), Camera.centred(500.0, 300, 400), paint=paint)
    return SimpleNamespace(scene=scene, surface=fused(scene, body))


def skin(points: torch.Tensor) -> torch.Tensor:
    return torch.tensor(SKIN).expand_as(points)


def in_shorts(points: torch.Tensor) -> torch.Tensor:
    return torch.where((points[:, 2:].abs() < 0.25) & (points[:, :1].abs() < 0.25), torch.tensor(BLUE), skin(points))


@pytest.fixture(scope="module")
def front(body: BodyModel) -> SimpleNamespace:
    """A naked body seen from the front only."""
    return seen_from_the_front(body, skin)


def test_seen_surface_is_within_two_millimetres_of_the_truth(dressed: SimpleNamespace) -> None:
    surface, scene = dressed.surface, dressed.scene
    seen = surface.observed > SEEN
    assert seen.mean() > 0.6
    assert distance_mm(surface.vertices[seen], scene.vertices, scene.faces).mean() < 2.0


def test_truth_that_was_seen_is_in_the_surface(dressed: SimpleNamespace) -> None:
    scene = dressed.scene
    distance = distance_mm(scene.vertices[scene.seen >= 3], dressed.surface.vertices, dressed.surface.faces)
    assert distance.mean() < 2.5
    assert np.percentile(distance, 95) < 10


def test_surface_is_one_closed_piece_that_winds_outwards(dressed: SimpleNamespace) -> None:
    import trimesh

    whole = welded(dressed.surface)
    mesh = trimesh.Trimesh(whole.vertices, whole.faces, process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.body_count == 1
    assert 0.04 < mesh.volume < 0.12, "cubic metres of a person"


def test_the_mesh_is_finer_on_the_face(dressed: SimpleNamespace) -> None:
    """Below the size of voxels, which is that of the triangles elsewhere."""
    whole = welded(dressed.surface)
    corners = whole.vertices[whole.faces]
    middle, top = corners.mean(axis=1), whole.vertices[:, 2].max()
    edge = np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1)
    head = middle[:, 2] > top - 0.22
    front = head & (middle[:, 1] < np.quantile(middle[head, 1], 0.3)) & (middle[:, 2] < top - 0.1)
    assert np.median(edge[front]) < 0.7 * np.median(edge[~head])


def test_surface_has_the_colours_of_the_truth(dressed: SimpleNamespace) -> None:
    from scipy.spatial import cKDTree

    surface, scene = dressed.surface, dressed.scene
    distance, nearest = cKDTree(scene.vertices).query(surface.vertices)
    rows = (surface.observed > SEEN) & (distance < 0.004)
    error = np.abs(surface.colors[rows] / 255.0 - scene.colors[nearest[rows]])
    assert error.mean() < 0.03
    assert np.percentile(error, 95) < 0.1


def test_learned_normals_make_a_normal_map(front: SimpleNamespace, body: BodyModel) -> None:
    """Finer than the triangles; the body's own normals, which come without confidence, make none."""
    scene, camera = front.scene, front.scene.motion.camera
    depth = scene.geometry.depth

    def true(index: int) -> np.ndarray:
        return depth_to_normals(torch.from_numpy(depth.load(index)), camera).numpy()

    normals = ImageSequence(depth.indices, true)
    sure = ImageSequence(depth.indices, lambda index: np.ones_like(depth.load(index)))
    geometry = GeometrySequence(depth, normals, sure)
    surface = fused(replace(scene, geometry=geometry), body)
    assert front.surface.normal_map is None and surface.normal_map is not None
    assert surface.normal_map.shape == (CONFIG.texture_px, CONFIG.texture_px, 3)
    posed = pose_surface(surface, scene.motion.cam_from_rest[1])

    def off(shown: Surface) -> float:
        picture = render(shown, posed, camera, "normals", oversampling=1) / 255.0
        seen = (picture - 0.5) / np.array([0.5, -0.5, -0.5])
        both = (true(1)[..., 2] < -0.5) & (np.linalg.norm(seen, axis=-1) > 0.9)
        cosine = (seen * true(1)).sum(axis=-1) / np.maximum(np.linalg.norm(seen, axis=-1), 1e-6)
        return float(np.degrees(np.arccos(np.clip(cosine[both], -1, 1))).mean())

    assert off(surface) < 0.9 * off(replace(surface, normal_map=None))
    np.testing.assert_array_equal(surface.faces, front.surface.faces)
    rise_m = np.linalg.norm(surface.vertices - front.surface.vertices, axis=1)
    head = surface.vertices[:, 2] > surface.vertices[:, 2].max() - 0.1
    assert rise_m[head].max() < 1e-4, "heads keep their profile"
    assert 0.0002 < np.percentile(rise_m, 99) < 0.008, "and all else is raised, a little"


def test_skinning_weights_move_the_surface_with_the_body(dressed: SimpleNamespace, body: BodyModel) -> None:
    surface, scene = dressed.surface, dressed.scene
    np.testing.assert_allclose(surface.skin_weights.sum(axis=1), 1, atol=1e-5)
    assert (np.diff(surface.skin_weights, axis=1) <= 1e-6).all(), "strongest bone first"
    frame = 5
    posed = pose_surface(surface, scene.motion.cam_from_rest[frame])
    truth = scene.posed(frame)
    distance = distance_mm(posed[surface.observed > SEEN], truth, scene.faces)
    assert distance.mean() < 3.0
    assert np.percentile(distance, 95) < 10


def test_an_arm_in_front_of_the_chest_leaves_no_imprint_on_it(front: SimpleNamespace) -> None:
    surface, scene = front.surface, front.scene
    x, y, z = surface.vertices.T
    chest = (np.abs(x) < 0.12) & (y < 0) & (z > 0.1) & (z < 0.5)
    assert (surface.observed[chest] < UNSEEN).mean() > 0.1, "the arm hides a part of the chest"
    assert (surface.observed[chest] > SEEN).mean() > 0.3, "the rest of the chest is seen"
    assert distance_mm(surface.vertices[chest], scene.vertices, scene.faces).max() < 12


def test_the_unseen_back_is_filled_from_the_body_and_marked(front: SimpleNamespace) -> None:
    surface, scene = front.surface, front.scene
    back = surface.normals[:, 1] > 0.8
    assert (surface.observed[back] < UNSEEN).mean() > 0.95
    distance = distance_mm(surface.vertices[back], scene.vertices, scene.faces)
    assert distance.mean() < 4
    assert distance.max() < 20


def test_unseen_cloth_spans_what_skin_folds(front: SimpleNamespace, body: BodyModel) -> None:
    """The cleft of the naked body is followed where hips are of the face's colour, and else spanned."""

    def cleft_m(surface: Surface) -> float:
        x, y, z = surface.vertices.T
        level = (np.abs(z - z_crotch - 0.05) < 0.01) & (y > 0)
        return float(y[level].max() - y[level & (np.abs(x) < 0.006)].max())

    bare = front.scene.vertices
    z_crotch = float(bare[np.abs(bare[:, 0]) < 0.01, 2].min())
    naked, clothed = cleft_m(front.surface), cleft_m(seen_from_the_front(body, in_shorts).surface)
    assert naked > 0.01 and clothed < 0.5 * naked


def test_nothing_floats_around_the_body(front: SimpleNamespace, body: BodyModel) -> None:
    surface, scene = front.surface, front.scene
    assert distance_mm(surface.vertices, scene.vertices, scene.faces).max() < 30
    assert distance_mm(scene.vertices[::50], surface.vertices, surface.faces).mean() < 4, "and nothing is missing"


def test_the_volume_does_not_grow_with_the_number_of_frames(body: BodyModel) -> None:
    scene = dancer(body, 3, turning(3))
    volume, proxy = _empty_volume(body)
    counts, weights = [], []
    for _ in range(3):
        for view, transforms in _views(scene, proxy):
            volume.activate(view.seeds(1_000_000), CONFIG.truncation_m)
            integrate(volume, view, transforms, 1.0)
        counts.append(volume.block_count)
        weights.append(float(volume.weight.sum()))
    assert counts[0] == counts[1] == counts[2] > 1000
    assert weights[2] == pytest.approx(3 * weights[0], rel=1e-3)


def test_the_compiled_loop_does_what_tensors_do(body: BodyModel) -> None:
    scene = dancer(body, 3, turning(3))
    volume, proxy = _empty_volume(body)
    views = list(_views(scene, proxy))
    for view, _ in views:
        volume.activate(view.seeds(1_000_000), CONFIG.truncation_m)
    held = [getattr(volume, name) for name in ("tsdf", "weight", "scatter", "color_weight", "color")]
    found = []
    for way in (integrate, integrate_tensors):
        for tensor in held:
            tensor.zero_()
        for weight, (view, transforms) in zip((1.0, 0.3, 0.7), views, strict=True):
            way(volume, view, transforms, weight)
        found.append([tensor.clone() for tensor in held])
    for ours, theirs in zip(*found, strict=True):
        assert (theirs != 0).sum() > 10_000
        assert ((ours - theirs).abs() > 1e-3).float().mean() < 1e-5
        assert ((ours != 0) != (theirs != 0)).float().mean() < 1e-5


def _empty_volume(body: BodyModel) -> tuple[CanonicalVolume, BodyProxy]:
    field, device = BodyField(body, rest_body(body)), torch.device("cpu")
    return CanonicalVolume(field, CONFIG, device), BodyProxy(field, device)


def _views(scene: Scene, proxy: BodyProxy) -> Iterator[tuple[FrameView, torch.Tensor]]:
    for frame in scene.frames:
        transforms = torch.from_numpy(scene.motion.cam_from_rest[frame.index])
        images = FrameImages(frame.rgb, scene.mattes.load(frame.index), scene.geometry.depth.load(frame.index))
        view = make_view(images, scene.motion.camera, transforms, proxy, CONFIG.voxel_m)
        assert view is not None
        yield view, transforms


def test_a_clip_without_usable_frames_is_a_clear_error(body: BodyModel) -> None:
    scene = dancer(body, 1, still({}))
    empty = replace(scene.geometry, depth=ImageSequence((0,), lambda i: np.zeros((320, 240), np.float32)))
    with pytest.raises(PersonError, match="no frame shows"):
        fuse(scene.frames, scene.tracks, scene.mattes, empty, scene.motion, body, CONFIG, Silent())
