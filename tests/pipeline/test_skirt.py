"""Skirts: whether mattes say that there is one, and what fusion makes of it; exact depth and poses."""

import math
from dataclasses import replace

import numpy as np
import open3d as o3d
import pytest
from dancedepth.models.body import BodyModel
from dancedepth.models.geometry import Camera
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.fusion import fuse
from dancedepth.pipeline.leg_gaps import GapLook, LegLevels, leg_levels
from dancedepth.pipeline.mesh_shape import is_closed
from dancedepth.pipeline.records import Silent, Surface
from dancedepth.pipeline.skirt_evidence import TELLING_FRAMES, Hem, find_hem, hem_of
from dancedepth.pipeline.surface import pose_surface, welded
from dancedepth.pipeline.synthesis.character import dress
from scipy.ndimage import binary_dilation

from tests.scenes import Scene, Turns, dancer, dressed_dancer, rest_body, still

COARSE = FusionConfig(voxel_m=0.012, truncation_m=0.036, texture_px=256, texture_views=1)
CAMERA = Camera.centred(500.0, 300, 400)
SKIRT_SEED, TROUSERS_SEED, LONG_SEED = 8, 1, 5
FRAMES = 8


def stepping(count: int) -> Turns:
    """Somebody who faces the camera, steps, and stands with the legs apart now and then."""

    def at(frame: int) -> dict[str, tuple[float, float, float]]:
        phase = 2 * math.pi * frame / count
        apart = 0.05 + 0.2 * (1 - math.cos(2 * phase))
        return {
            "upperleg01.L": (0.2 * math.sin(phase), -apart, 0.0),
            "upperleg01.R": (-0.2 * math.sin(phase), apart, 0.0),
        }

    return at


def clothed(body: BodyModel, seed: int) -> Scene:
    return dressed_dancer(body, dress(body, rest_body(body), seed=seed, detail=1), FRAMES, stepping(FRAMES), CAMERA)


def hem_in(scene: Scene, body: BodyModel) -> Hem | None:
    return find_hem(scene.motion, scene.mattes, list(range(FRAMES)), body, rest_body(body))


@pytest.fixture(scope="module")
def skirt(body: BodyModel) -> Scene:
    return clothed(body, SKIRT_SEED)


def fused(scene: Scene, body: BodyModel) -> Surface:
    return fuse(scene.frames, scene.tracks, scene.mattes, scene.geometry, scene.motion, body, COARSE, Silent())


@pytest.fixture(scope="module")
def surface(skirt: Scene, body: BodyModel) -> Surface:
    return fused(skirt, body)


@pytest.fixture(scope="module")
def torn(skirt: Scene, body: BodyModel) -> Surface:
    """The same without the rule."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dancedepth.pipeline.fusion.find_hem", lambda *_: None)
        return fused(skirt, body)


def test_a_skirt_s_hem_is_found_where_it_is(skirt: Scene, body: BodyModel) -> None:
    hem = hem_in(skirt, body)
    assert hem is not None
    middle = np.abs(skirt.vertices[:, 0]) < 0.02
    assert hem.z == pytest.approx(skirt.vertices[middle, 2].min(), abs=0.03)
    assert 0 <= hem.beside_m.min() <= hem.beside_m.max() < 0.15


def test_the_surface_says_how_far_the_skirt_hangs(
    skirt: Scene, surface: Surface, torn: Surface, body: BodyModel
) -> None:
    hem = hem_in(skirt, body)
    assert hem is not None and surface.skirt_m == pytest.approx(hem.crotch_z - hem.z)
    assert torn.skirt_m is None


def test_a_hem_is_told_by_frames_that_see_both_sides_of_it() -> None:
    """Others have the legs elsewhere beside the silhouette: in the medians of all of them nothing steps in."""
    heights = np.arange(0.5, 0.0, -0.025)
    above, none = heights > 0.25, np.zeros(0, np.int64)
    levels = LegLevels(0.525, heights, none.reshape(0, 2, 0), none, none)
    both, upper, lower = np.where(above, 0.02, 0), np.where(above, 0.01, np.nan), np.where(above, np.nan, 0.01)
    seen = [both] * TELLING_FRAMES + [upper, lower] * 4
    hem = hem_of(levels, [GapLook(np.full(20, 0.1), above.astype(float), beside) for beside in seen])
    assert hem is not None
    assert hem.z == pytest.approx(0.25, abs=0.03)


def test_trousers_and_bare_legs_are_no_skirt(body: BodyModel) -> None:
    assert hem_in(clothed(body, TROUSERS_SEED), body) is None
    assert hem_in(dancer(body, FRAMES, stepping(FRAMES), CAMERA), body) is None


def test_cloth_between_the_legs_without_a_hem_beside_them_is_no_skirt(skirt: Scene, body: BodyModel) -> None:
    """A matte that fills the gap between bare legs, as a low crotch does, and nothing beside them."""
    bare = dancer(body, FRAMES, stepping(FRAMES), CAMERA)
    levels = leg_levels(body, rest_body(body))

    def filled(frame: int) -> np.ndarray:
        matte = bare.mattes.load(frame).copy()
        pixel = np.argwhere(matte > 0)
        for row in range(pixel[:, 0].min(), pixel[:, 0].max()):
            inside = np.flatnonzero(matte[row])
            if lowest[frame] > row > lowest[frame] - 60 and len(inside):
                matte[row, CAMERA.width // 2 - 25 : CAMERA.width // 2 + 25] = 255
        return matte

    transforms = bare.motion.cam_from_rest
    points = np.array([0.0, 0.0, levels.crotch_z - 0.16, 1.0])
    root = body.bone("root")
    lowest = [int((t[root] @ points)[1] / (t[root] @ points)[2] * CAMERA.focal_px + CAMERA.cy) for t in transforms]
    assert hem_in(replace(bare, mattes=replace(bare.mattes, load=filled)), body) is None


def turned_half_way(count: int) -> Turns:
    """The same steps, by somebody who turns their back to the camera for the second half."""
    steps = stepping(count // 2)
    return lambda frame: {**steps(frame), "root": (0.0, 0.0, math.pi * (2 * frame >= count))}


def coat_like(body: BodyModel, behind_only: bool = True) -> Scene:
    """A skirt that mattes show from behind, and the legs alone from in front, as they do with open coats."""
    turns = turned_half_way(FRAMES)
    worn = dressed_dancer(body, dress(body, rest_body(body), seed=SKIRT_SEED, detail=1), FRAMES, turns, CAMERA)
    bare = dancer(body, FRAMES, turns, CAMERA)

    def seen(frame: int) -> np.ndarray:
        return (worn if (2 * frame >= FRAMES) == behind_only else bare).mattes.load(frame)

    return replace(worn, mattes=replace(worn.mattes, load=seen))


def test_a_coat_hangs_behind_and_is_open_in_front(body: BodyModel) -> None:
    coat = coat_like(body)
    hem = hem_in(coat, body)
    assert hem is not None and hem.open_front
    assert hem.z == pytest.approx(coat.vertices[np.abs(coat.vertices[:, 0]) < 0.02, 2].min(), abs=0.04)
    cloth, closed = (BodyField(body, rest_body(body), h).skirt for h in (hem, replace(hem, open_front=False)))
    assert cloth is not None and closed is not None and is_closed(cloth.faces)
    behind, ahead = (np.array([[0.0, y, (hem.z + hem.crotch_z) / 2]], np.float32) for y in (0.05, -0.05))
    assert cloth.distance(behind)[0] < 0 < cloth.distance(ahead)[0]
    assert closed.distance(behind)[0] < 0 and closed.distance(ahead)[0] < 0
    assert hem_in(coat_like(body, behind_only=False), body) is None


def test_what_is_closed_in_front_is_no_coat_though_only_frames_from_behind_show_its_hem(body: BodyModel) -> None:
    front = FRAMES - TELLING_FRAMES
    steps = stepping(FRAMES)
    made = dress(body, rest_body(body), seed=SKIRT_SEED, detail=1)
    scene = dressed_dancer(
        body, made, FRAMES, lambda frame: {**steps(frame), "root": (0.0, 0.0, math.pi * (frame >= front))}, CAMERA
    )

    def smeared(frame: int) -> np.ndarray:
        """From the front, as wide below the hem as above it, beside the legs alone."""
        matte = scene.mattes.load(frame)
        if frame >= front:
            return matte
        wide = binary_dilation(matte > 127, np.ones((61, 1))) & ~between_the_first_and_the_last(matte > 127)
        return np.where(wide, np.uint8(255), matte)

    hem = hem_in(replace(scene, mattes=replace(scene.mattes, load=smeared)), body)
    assert hem is not None and not hem.open_front


def between_the_first_and_the_last(matte: np.ndarray) -> np.ndarray:
    """From the first to the last pixel of each row of a mask."""
    return np.logical_or.accumulate(matte, axis=1) & np.logical_or.accumulate(matte[:, ::-1], axis=1)[:, ::-1]


def test_a_skirt_without_an_end_reaches_the_ankles(body: BodyModel) -> None:
    worn = dress(body, rest_body(body), seed=LONG_SEED, detail=1, long_wear=True)
    gown = dressed_dancer(body, worn, FRAMES, stepping(FRAMES), CAMERA)
    hem = hem_in(gown, body)
    assert hem is not None and not hem.open_front
    assert hem.z == pytest.approx(gown.vertices[np.abs(gown.vertices[:, 0]) < 0.02, 2].min(), abs=0.06)


def test_legs_that_are_never_apart_tell_nothing(body: BodyModel) -> None:
    together = still({"upperleg01.L": (0.0, 0.16, 0.0), "upperleg01.R": (0.0, -0.16, 0.0)})
    skirted = dress(body, rest_body(body), seed=SKIRT_SEED, detail=1)
    assert hem_in(dressed_dancer(body, skirted, FRAMES, together, CAMERA), body) is None


def test_a_skirt_seen_from_the_front_hangs_in_one_piece_behind(
    skirt: Scene, surface: Surface, torn: Surface, body: BodyModel
) -> None:
    import trimesh

    whole = welded(surface)
    mesh = trimesh.Trimesh(whole.vertices, whole.faces, process=False)
    assert mesh.is_watertight
    assert mesh.body_count == 1
    assert behind(surface, body) == pytest.approx(behind_truth(skirt, body), abs=0.06)
    assert behind(torn, body) != pytest.approx(behind_truth(skirt, body), abs=0.06), "without the rule"


def behind(surface: Surface, body: BodyModel) -> float:
    return farthest(surface.vertices, surface.faces, body)


def behind_truth(scene: Scene, body: BodyModel) -> float:
    return farthest(scene.vertices, scene.faces, body)


def farthest(vertices: np.ndarray, faces: np.ndarray, body: BodyModel) -> float:
    """Where a surface is met from behind, midway between the legs and below the crotch; -1 if it is not."""
    below = leg_levels(body, rest_body(body)).crotch_z - 0.07
    ray = o3d.core.Tensor.from_numpy(np.array([[0.003, 1.0, below, 0.0, -1.0, 0.0]], np.float32))
    return 1 - float(np.minimum(caster(vertices, faces).cast_rays(ray)["t_hit"].numpy()[0], 2))


def caster(vertices: np.ndarray, faces: np.ndarray) -> o3d.t.geometry.RaycastingScene:
    scene = o3d.t.geometry.RaycastingScene()
    share = o3d.core.Tensor.from_numpy
    scene.add_triangles(share(vertices.astype(np.float32)), share(faces.astype(np.uint32)))
    return scene


def test_it_hangs_as_the_true_one_in_every_pose(skirt: Scene, surface: Surface, torn: Surface, body: BodyModel) -> None:
    hem = hem_in(skirt, body)
    assert hem is not None
    x, _, z = skirt.vertices.T
    hanging = (z > hem.z) & (z < hem.crotch_z) & (np.abs(x) < 0.3)

    def off_m(made: Surface) -> float:
        """Mean distance of the true cloth from the surface, over all poses."""
        total = []
        for frame in range(FRAMES):
            points = skirt.posed(frame)[hanging].astype(np.float32)
            posed = caster(pose_surface(made, skirt.motion.cam_from_rest[frame]), made.faces)
            total.append(posed.compute_distance(o3d.core.Tensor.from_numpy(points)).numpy().mean())
        return float(np.mean(total))

    assert off_m(surface) < 0.8 * off_m(torn)


def test_its_weights_change_evenly_from_leg_to_leg(skirt: Scene, body: BodyModel) -> None:
    hem = hem_in(skirt, body)
    cloth = BodyField(body, rest_body(body), hem).skirt
    assert cloth is not None and hem is not None
    x = np.linspace(-0.2, 0.2, 81)
    across = cloth.skin(np.stack((x, np.zeros(81), np.full(81, hem.z + 0.03)), axis=1))
    np.testing.assert_allclose(across.sum(axis=1), 1, atol=1e-5)
    assert np.abs(np.diff(across, axis=0)).max() < 0.05, "in steps of five millimetres"
    assert ((across > 0.02).sum(axis=1) <= 4).all(), "as many bones as a surface's vertex keeps"
    left, right = body.bone("upperleg02.L"), body.bone("upperleg02.R")
    assert across[-1, left] > 0.9 > 0.1 > across[-1, right]
    np.testing.assert_allclose(across[:, left], across[::-1, right], atol=0.03)
