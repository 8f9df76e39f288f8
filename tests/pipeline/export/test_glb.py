"""dancer.glb, read back as a viewer would: skin, animation, colours, validity."""

import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.export.glb import linear_colors, skin_shares, write_dancer_glb, write_mesh_glb
from dancedepth.pipeline.records import Rig, Surface
from dancedepth.pipeline.rig import posed_surface, rest_surface, skeleton_of
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pygltflib import GLTF2
from scipy.spatial.transform import Rotation

from tests.rigged import light_surface, rig_of, textured, tilted
from tests.scenes import Scene, dancer, turning

BROWSER = Path(__file__).parents[2] / "browser"
TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
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


def accessor(file: GLTF2, index: int) -> np.ndarray:
    entry = file.accessors[index]
    view = file.bufferViews[entry.bufferView]
    data = file.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    values = np.frombuffer(data, TYPES[entry.componentType]).reshape(entry.count, WIDTHS[entry.type])
    return values / np.iinfo(values.dtype).max if entry.normalized else values


def pose(file: GLTF2, frame: int) -> np.ndarray:
    """The skinned vertices at an animation's key frame, as the glTF specification says."""
    local = {}
    for index, node in enumerate(file.nodes):
        local[index] = [node.translation or [0, 0, 0], node.rotation or [0, 0, 0, 1]]
    clip = file.animations[0]
    for channel in clip.channels:
        value = accessor(file, clip.samplers[channel.sampler].output)[frame]
        local[channel.target.node][0 if channel.target.path == "translation" else 1] = value
    world: dict[int, np.ndarray] = {}

    def visit(index: int, above: np.ndarray) -> None:
        here = np.eye(4)
        here[:3, :3], here[:3, 3] = Rotation.from_quat(local[index][1]).as_matrix(), local[index][0]
        world[index] = above @ here
        for child in file.nodes[index].children:
            visit(child, world[index])

    for root in file.scenes[file.scene].nodes:
        visit(root, np.eye(4))
    skin, primitive = file.skins[0], file.meshes[0].primitives[0]
    binds = accessor(file, skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
    joints = np.stack([world[node] @ bind for node, bind in zip(skin.joints, binds, strict=True)])
    used, weights = accessor(file, primitive.attributes.JOINTS_0), accessor(file, primitive.attributes.WEIGHTS_0)
    points = accessor(file, primitive.attributes.POSITION)
    points = np.concatenate((points, np.ones((len(points), 1))), axis=1)
    return np.einsum("vk,vkij,vj->vi", weights, joints[used], points)[:, :3]


def validate(path: Path) -> dict[str, int]:
    """The Khronos validator's counts."""
    if shutil.which("node") is None:
        pytest.skip("no node: the Khronos validator cannot run")
    if not (BROWSER / "node_modules" / "gltf-validator").is_dir():
        pytest.skip("no gltf-validator: run `npm ci` in tests/browser")
    command = ["node", str(BROWSER / "validate_glb.mjs"), str(path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert not found["messages"], found["messages"]
    return {name: found[name] for name in ("numErrors", "numWarnings")}


def test_a_viewer_sees_what_the_rig_says(surface: Surface, rig: Rig, tmp_path: Path) -> None:
    write_dancer_glb(tmp_path / "dancer.glb", surface, rig)
    file = GLTF2().load(str(tmp_path / "dancer.glb"))
    for frame in range(FRAMES):
        assert np.abs(pose(file, frame) - posed_surface(surface, rig, frame)).max() < 2e-4
    times = accessor(file, file.animations[0].samplers[0].input)[:, 0]
    assert np.allclose(times, np.arange(FRAMES) / 12)
    names = [file.nodes[joint].name for joint in file.skins[0].joints]
    assert tuple(names) == rig.bone_names
    observed = accessor(file, file.meshes[0].primitives[0].attributes._OBSERVED)[:, 0]
    assert np.allclose(observed, surface.observed)


def test_at_rest_it_is_the_surface_standing(surface: Surface, rig: Rig, tmp_path: Path) -> None:
    write_dancer_glb(tmp_path / "dancer.glb", surface, rig)
    file = GLTF2().load(str(tmp_path / "dancer.glb"))
    file.animations[0].channels = []
    assert np.abs(pose(file, 0) - rest_surface(surface, rig)).max() < 2e-4


def test_the_camera_is_where_the_clip_was_filmed(scene: Scene, rig: Rig, surface: Surface, tmp_path: Path) -> None:
    write_dancer_glb(tmp_path / "dancer.glb", surface, rig)
    file = GLTF2().load(str(tmp_path / "dancer.glb"))
    node, view = next(node for node in file.nodes if node.camera is not None), file.cameras[0].perspective
    here = np.eye(4)
    here[:3, :3], here[:3, 3] = Rotation.from_quat(node.rotation).as_matrix(), node.translation
    head = skeleton_of(rig).bones()[3, rig.bone_names.index("head"), :, 3]
    x, y, z, _ = np.linalg.inv(here) @ head
    scale = scene.motion.camera.height / 2 / np.tan(view.yfov / 2)
    pixel = np.array([x, -y]) / -z * scale + np.array([120, 160])
    inside = np.linalg.inv(rig.world_from_cam) @ head
    camera = scene.motion.camera
    assert np.allclose(pixel, inside[:2] / inside[2] * camera.focal_px + [camera.cx, camera.cy], atol=0.01)


def test_the_validator_finds_nothing(surface: Surface, rig: Rig, tmp_path: Path) -> None:
    write_dancer_glb(tmp_path / "plain.glb", surface, rig)
    write_dancer_glb(tmp_path / "textured.glb", textured(surface), rig)
    write_dancer_glb(tmp_path / "relief.glb", tilted(surface, (0, 0, 1)), rig)
    write_mesh_glb(tmp_path / "mesh.glb", surface, rest_surface(surface, rig))
    for name in ("plain", "textured", "relief", "mesh"):
        assert validate(tmp_path / f"{name}.glb") == {"numErrors": 0, "numWarnings": 0}


def test_a_texture_replaces_the_vertex_colours(surface: Surface, rig: Rig, tmp_path: Path) -> None:
    painted = textured(surface)
    write_dancer_glb(tmp_path / "dancer.glb", painted, rig)
    file = GLTF2().load(str(tmp_path / "dancer.glb"))
    attributes = file.meshes[0].primitives[0].attributes
    assert attributes.COLOR_0 is None, "glTF would multiply the two"
    view = file.bufferViews[file.images[0].bufferView]
    image = Image.open(io.BytesIO(file.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]))
    u, v = accessor(file, attributes.TEXCOORD_0)[np.argmax(surface.vertices[:, 2])]
    assert image.getpixel((min(int(u * 64), 63), min(int(v * 64), 63)))[2] > 200, "blue at the top"


def test_a_normal_map_comes_with_its_tangents(surface: Surface, rig: Rig, tmp_path: Path) -> None:
    write_dancer_glb(tmp_path / "dancer.glb", tilted(surface, (0.6, 0, 0.8)), rig)
    file = GLTF2().load(str(tmp_path / "dancer.glb"))
    primitive = file.meshes[0].primitives[0]
    view = file.bufferViews[file.images[file.materials[primitive.material].normalTexture.index].bufferView]
    image = Image.open(io.BytesIO(file.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]))
    assert np.allclose(image.getpixel((32, 32)), (204, 128, 230), atol=2)
    normals, tangents = accessor(file, primitive.attributes.NORMAL), accessor(file, primitive.attributes.TANGENT)
    assert np.abs((normals * tangents[:, :3]).sum(axis=1)).max() < 1e-5
    flat = np.abs(normals[:, 0]) < 0.5
    assert (tangents[flat, 0] > 0.5).mean() > 0.95, "u grows to the dancer's left"
    assert set(np.unique(tangents[:, 3])) == {-1.0, 1.0}, "the back's texture is mirrored"


def test_colours_are_linear_light() -> None:
    linear = linear_colors(np.array([[0, 128, 255]], np.uint8))[0] / 65535
    assert linear.tolist() == pytest.approx([0, 0.2159, 1, 1], abs=1e-3)


@given(st.integers(0, 10_000))
def test_shares_sum_to_one_and_name_no_bone_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bones = rng.integers(0, 104, (50, 4))
    bones[::5, 1] = bones[::5, 0]
    weights = rng.dirichlet([0.3] * 4, 50).astype(np.float32)
    weights[::7, 2:] = 0
    weights[::7] /= weights[::7].sum(axis=1, keepdims=True) + 1e-12
    weights[weights.sum(axis=1) < 0.5] = (1, 0, 0, 0)
    named, shares = skin_shares(bones, weights)
    assert (shares.astype(int).sum(axis=1) == 65535).all()
    dense, expected = np.zeros((2, 50, 104))
    np.add.at(dense, (np.arange(50)[:, None], named), shares / 65535)
    np.add.at(expected, (np.arange(50)[:, None], bones), weights)
    assert np.abs(dense - expected).max() < 1e-4
    for row, share in zip(named, shares, strict=True):
        used = row[share > 0]
        assert len(set(used.tolist())) == len(used)
        assert (row[share == 0] == 0).all()
