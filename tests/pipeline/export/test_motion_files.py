"""BVH and USD, read back."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.export.bvh import write_bvh
from dancedepth.pipeline.export.usd import CODES_PER_S, joint_paths, write_usdz
from dancedepth.pipeline.records import Rig, Surface
from dancedepth.pipeline.rig import posed_surface, rest_surface, skeleton_of
from dancedepth.pipeline.synthesis.bvh import read_bvh
from PIL import Image

from tests.rigged import light_surface, rig_of, textured, tilted
from tests.scenes import Scene, dancer, turning

FRAMES = 7


@pytest.fixture(scope="module")
def scene(body: BodyModel) -> Scene:
    return dancer(body, FRAMES, turning(FRAMES))


@pytest.fixture(scope="module")
def surface(scene: Scene) -> Surface:
    return light_surface(scene)


@pytest.fixture(scope="module")
def rig(scene: Scene, body: BodyModel) -> Rig:
    return rig_of(scene, body)


def joints_of(path: Path, rig: Rig) -> np.ndarray:
    capture = read_bvh(path)
    order = [capture.names.index(name) for name in rig.bone_names]
    return capture.positions.numpy()[:, order] / 100


def test_bvh_joints_are_where_the_rig_has_them(rig: Rig, tmp_path: Path) -> None:
    write_bvh(tmp_path / "dancer.bvh", rig)
    assert np.abs(joints_of(tmp_path / "dancer.bvh", rig) - skeleton_of(rig).bones()[..., :3, 3]).max() < 1e-4
    assert read_bvh(tmp_path / "dancer.bvh").frame_s == pytest.approx(1 / 12)


def test_bvh_of_uneven_times_is_even(rig: Rig, tmp_path: Path) -> None:
    squeezed = replace(rig, times_s=np.array([0, 0.05, 0.1, 0.3, 0.4, 0.45, 0.6]))
    write_bvh(tmp_path / "dancer.bvh", squeezed)
    found, true = joints_of(tmp_path / "dancer.bvh", rig), skeleton_of(rig).bones()[..., :3, 3]
    assert np.abs(found[[0, 3, 4, 6]] - true[[0, 3, 4, 6]]).max() < 1e-4, "these fall on the even times"
    half = np.abs(found[1, 0] - true[2, 0]).max()
    assert half < 1e-4, "0.1 s is the second even time"


def test_usd_skins_as_the_rig_does(surface: Surface, rig: Rig, tmp_path: Path) -> None:
    pxr = pytest.importorskip("pxr", reason="usd-core is not installed")
    from pxr import Usd, UsdGeom, UsdSkel

    assert pxr
    write_usdz(tmp_path / "dancer.usdz", surface, rest_surface(surface, rig), rig)
    stage = Usd.Stage.Open(str(tmp_path / "dancer.usdz"))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    root = UsdSkel.Root(stage.GetPrimAtPath("/dancer"))
    cache = UsdSkel.Cache()
    cache.Populate(root, Usd.PrimDefaultPredicate)
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/dancer/surface"))
    skeleton = cache.GetSkelQuery(UsdSkel.Skeleton(stage.GetPrimAtPath("/dancer/skeleton")))
    skin = cache.GetSkinningQuery(mesh.GetPrim())
    for frame in (0, 4):
        code = frame / 12 * CODES_PER_S
        points = mesh.GetPointsAttr().Get(code)
        assert skin.ComputeSkinnedPoints(skeleton.ComputeSkinningTransforms(code), points, code)
        assert np.abs(np.array(points) - posed_surface(surface, rig, frame)).max() < 5e-4


def test_usd_packs_the_texture(surface: Surface, rig: Rig, tmp_path: Path) -> None:
    pytest.importorskip("pxr", reason="usd-core is not installed")
    from pxr import Usd

    write_usdz(tmp_path / "still.usdz", textured(surface), posed_surface(surface, rig, 2))
    with zipfile.ZipFile(tmp_path / "still.usdz") as package:
        assert any(name.endswith(".png") for name in package.namelist())
    stage = Usd.Stage.Open(str(tmp_path / "still.usdz"))
    assert stage.GetPrimAtPath("/dancer/surface") and not stage.GetPrimAtPath("/dancer/skeleton")


def test_usd_connects_the_normal_map(surface: Surface, rig: Rig, tmp_path: Path) -> None:
    pytest.importorskip("pxr", reason="usd-core is not installed")
    from pxr import Usd, UsdShade

    write_usdz(tmp_path / "still.usdz", tilted(surface, (0.6, 0, 0.8)), posed_surface(surface, rig, 2))
    stage = Usd.Stage.Open(str(tmp_path / "still.usdz"))
    shader = UsdShade.Shader(stage.GetPrimAtPath("/dancer/material/surface"))
    relief = UsdShade.Shader(shader.GetInput("normal").GetConnectedSource()[0].GetPrim())
    assert relief.GetInput("sourceColorSpace").Get() == "raw"
    scale, bias = (np.array(relief.GetInput(name).Get())[:3] for name in ("scale", "bias"))
    with zipfile.ZipFile(tmp_path / "still.usdz") as package:
        name = next(name for name in package.namelist() if name.endswith("normals.png"))
        texel = np.asarray(Image.open(io.BytesIO(package.read(name))))[0, 0] / 255
    assert np.allclose(texel * scale + bias, (0.6, 0, 0.8), atol=0.01)


def test_joint_names_are_ones_that_usd_takes(rig: Rig) -> None:
    paths = joint_paths(rig)
    assert len(set(paths)) == len(paths)
    assert all("." not in path for path in paths)
    assert paths[rig.bone_names.index("foot.L")].startswith("root/")
