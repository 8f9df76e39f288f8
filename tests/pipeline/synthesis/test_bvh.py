from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dancedepth.models.body import ADULT, SKIN_VERTICES, BodyModel
from dancedepth.pipeline.errors import StorageError, UsageError
from dancedepth.pipeline.synthesis.bvh import Capture, read_bvh
from dancedepth.pipeline.synthesis.config import SynthConfig
from dancedepth.pipeline.synthesis.retarget import retarget
from dancedepth.pipeline.synthesis.scene import make_scene
from dancedepth.pipeline.synthesis.staging import world_poses

# name: (parent, offset) of a performer in a T-pose, y up, facing +z, centimetres
SKELETON: dict[str, tuple[str | None, tuple[float, float, float]]] = {
    "Hips": (None, (0, 95, 0)),
    "Spine": ("Hips", (0, 20, 0)),
    "Neck": ("Spine", (0, 30, 0)),
    "Head": ("Neck", (0, 10, 0)),
    **{
        f"{side}{name}": (parent and parent.replace("*", side), (sign * x, y, z))
        for side, sign in (("Left", 1), ("Right", -1))
        for name, parent, (x, y, z) in (
            ("Shoulder", "Spine", (4, 25, 0)),
            ("Arm", "*Shoulder", (14, 0, 0)),
            ("ForeArm", "*Arm", (28, 0, 0)),
            ("Hand", "*ForeArm", (25, 0, 0)),
            ("UpLeg", "Hips", (9, -5, 0)),
            ("Leg", "*UpLeg", (0, -42, 0)),
            ("Foot", "*Leg", (0, -42, 0)),
            ("ToeBase", "*Foot", (0, -6, 13)),
        )
    },
}
LIMBS = (
    ("Arm", "ForeArm", "upperarm01", "lowerarm01"),
    ("ForeArm", "Hand", "lowerarm01", "wrist"),
    ("UpLeg", "Leg", "upperleg01", "lowerleg01"),
    ("Leg", "Foot", "lowerleg01", "foot"),
)
"""Start and end of each limb in the file, and on the body."""


def bvh_text(frames: int, z_up: bool = False) -> str:
    """The performer swinging every joint about every axis, from the T-pose on; with z up, the same in other axes."""
    names: list[str] = []
    tree = _joint_text("Hips", z_up, names)
    generator = np.random.default_rng(0)
    pace = {name: generator.uniform(-1, 1, 3) for name in names}
    rows = []
    for frame in range(frames):
        row = [*_axes((3 * np.sin(frame / 9), 95 + np.cos(frame / 5), 0.0), z_up)]
        for name in names:
            a, b, c = 25 * np.sin(frame / 6 * pace[name])
            row += [-a, b, c] if z_up else [a, b, c]
        rows.append(" ".join(f"{value:.6f}" for value in row))
    return f"HIERARCHY\n{tree}\nMOTION\nFrames: {frames}\nFrame Time: 0.0333333\n" + "\n".join(rows) + "\n"


def _axes(point: tuple[float, float, float], z_up: bool) -> tuple[float, float, float]:
    x, y, z = point
    return (x, -z, y) if z_up else (x, y, z)


def _joint_text(name: str, z_up: bool, names: list[str]) -> str:
    names.append(name)
    parent, offset = SKELETON[name]
    x, y, z = _axes(offset, z_up) if parent else (0.0, 0.0, 0.0)
    # Turns about z, y, x with y up are turns about -y, z, x with z up.
    channels = "Yrotation Zrotation Xrotation" if z_up else "Zrotation Yrotation Xrotation"
    if parent is None:
        channels = "Xposition Yposition Zposition " + channels
    lines = [
        f"{'JOINT' if parent else 'ROOT'} {name} {{ OFFSET {x} {y} {z} CHANNELS {len(channels.split())} {channels}"
    ]
    children = [child for child, (p, _) in SKELETON.items() if p == name]
    lines += [_joint_text(child, z_up, names) for child in children] or ["End Site { OFFSET 0 0 1 }"]
    return "\n".join([*lines, "}"])


def directions(capture: Capture, frame: int) -> torch.Tensor:
    """Of the limbs in the file, left then right, unit."""
    at = dict(zip(capture.names, capture.positions[frame], strict=True))
    pairs = [(at[f"{side}{a}"], at[f"{side}{b}"]) for side in ("Left", "Right") for a, b, _, _ in LIMBS]
    return torch.nn.functional.normalize(torch.stack([b - a for a, b in pairs]), dim=1)


def test_a_small_tree_plays_as_worked_out_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "two.bvh"
    path.write_text(
        "HIERARCHY ROOT A { OFFSET 1 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n"
        "JOINT B { OFFSET 0 2 0 CHANNELS 3 Zrotation Xrotation Yrotation End Site { OFFSET 0 3 0 } } }\n"
        "MOTION Frames: 2 Frame Time: 0.5\n 0 0 0 0 0 0 0 0 0\n 0 5 0 90 0 0 0 90 0\n"
    )
    capture = read_bvh(path)
    assert capture.names == ("A", "B", "B_tip")
    assert capture.seconds == 0.5
    expected = torch.tensor([[[1.0, 0, 0], [1, 2, 0], [1, 5, 0]], [[1, 5, 0], [-1, 5, 0], [-1, 5, 3]]])
    torch.testing.assert_close(capture.positions.float(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("z_up", (False, True))
def test_limbs_point_where_the_performers_did(tmp_path: Path, body: BodyModel, z_up: bool) -> None:
    path = tmp_path / "swing.bvh"
    path.write_text(bvh_text(40, z_up))
    capture = read_bvh(path)
    rest = body.rest(torch.tensor(ADULT))
    frames = torch.tensor([0, 10, 25, 39])
    motion = retarget(capture, body, rest, frames * capture.frame_s, 0.0)
    at = (world_poses(body, rest, motion) @ rest.bone_poses)[..., :3, 3]
    # The file's axes to the world's: z up, facing -y; then the heading at the first frame is taken off.
    upright = torch.eye(3) if z_up else torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    for row, frame in enumerate(frames.tolist()):
        bones = [(a, b, side) for side in "LR" for _, _, a, b in LIMBS]
        own = torch.stack([at[row, body.bone(f"{b}.{s}")] - at[row, body.bone(f"{a}.{s}")] for a, b, s in bones])
        own = torch.nn.functional.normalize(own, dim=1)
        file = directions(capture, frame).float() @ upright.T
        # The two bones of an upper arm are not quite in line, so its twist moves the elbow by up to 0.3 degrees.
        torch.testing.assert_close(own, file, atol=6e-3, rtol=0)


def test_the_axes_of_the_file_do_not_matter(tmp_path: Path, body: BodyModel) -> None:
    rest = body.rest(torch.tensor(ADULT))
    moved = []
    for z_up in (False, True):
        path = tmp_path / f"{z_up}.bvh"
        path.write_text(bvh_text(20, z_up))
        moved.append(retarget(read_bvh(path), body, rest, torch.arange(0, 0.6, 0.05)))
    torch.testing.assert_close(moved[0].rotations, moved[1].rotations, atol=1e-4, rtol=0)
    torch.testing.assert_close(moved[0].root, moved[1].root, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "text",
    (
        "not a motion",
        "HIERARCHY ROOT A { OFFSET 0 0 0 CHANNELS 3 Xrotation",
        "HIERARCHY ROOT A { OFFSET 0 0 0 CHANNELS 1 Xrotation } MOTION Frames: 3 Frame Time: 0.1 0 0",
        "HIERARCHY ROOT A { OFFSET 0 0 0 CHANNELS 1 Xrotation } MOTION Frames: 1 Frame Time: 0 0",
    ),
)
def test_broken_files_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.bvh"
    path.write_text(text)
    with pytest.raises(StorageError, match=r"broken\.bvh"):
        read_bvh(path)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.bvh"):
        read_bvh(tmp_path / "none.bvh")


def test_a_skeleton_without_knees_is_refused(tmp_path: Path, body: BodyModel) -> None:
    path = tmp_path / "kneeless.bvh"
    path.write_text(bvh_text(5).replace("JOINT LeftLeg", "JOINT Thing"))
    with pytest.raises(StorageError, match="left knee"):
        retarget(read_bvh(path), body, body.rest(torch.tensor(ADULT)), torch.zeros(1))


@pytest.mark.parametrize("name", ("cmu_55_01", "cmu_49_08", "jesse_dance", "jumping_jacks", "wave_hello"))
def test_real_recordings_move_a_body_upright_and_on_the_floor(shared: Path, body: BodyModel, name: str) -> None:
    rest = body.rest(torch.tensor(ADULT))
    motion = retarget(read_bvh(shared / "mocap" / f"{name}.bvh"), body, rest, torch.arange(0, 3, 1 / 12))
    skin = body.skin(rest.vertices, world_poses(body, rest, motion))[:, :SKIN_VERTICES]
    lowest = skin[..., 2].amin(dim=1)
    assert abs(float(lowest.quantile(0.05))) < 0.02
    assert float(lowest.min()) > -0.15
    assert float((motion.rotations[:, 0, 2, 2] > 0.5).float().mean()) > 0.4
    limits = motion.rotations[:, [body.bone(f"lowerleg01.{s}") for s in "LR"]]
    flexed = ((limits.diagonal(dim1=-2, dim2=-1).sum(dim=-1) - 1) / 2).clamp(-1, 1).acos()
    assert float(flexed.max()) < 2.7


def test_a_clip_ends_with_its_recording(tmp_path: Path, body: BodyModel) -> None:
    path = tmp_path / "short.bvh"
    path.write_text(bvh_text(12))  # a good third of a second
    config = SynthConfig(seconds=2, fps=12, width=96, height=128, motion=path)
    assert len(make_scene(config, body).motion.times_s) == 5
    with pytest.raises(UsageError, match="--motion-start"):
        make_scene(replace(config, motion_start_s=1.0), body)
