"""An arm beside a dress is not painted on it, though the fit has the arm a hand's breadth off."""

import numpy as np
import pytest
from dancedepth.models.geometry import Camera
from dancedepth.pipeline.keyframes import Keyframe
from dancedepth.pipeline.limb_borders import TRUNK, Parts, limbs_of, own_looks
from dancedepth.pipeline.vertex_colors import VertexLooks
from dancedepth.pipeline.volume_sampling import Samples

BLUE, SKIN = np.array([0.4, 0.8, 0.8]), np.array([0.85, 0.6, 0.5])
SPACING_M, FAR_M = 0.02, 2.0
ARM = 0


def sheet(left: float, right: float) -> tuple[np.ndarray, np.ndarray]:
    """A flat grid, half a metre high, that faces the camera at the origin."""
    x, y = np.arange(left, right, SPACING_M), np.arange(-0.25, 0.25, SPACING_M)
    points = np.stack((*np.meshgrid(x, y), np.full((len(y), len(x)), FAR_M)), axis=-1).reshape(-1, 3)
    first = (np.arange(len(y) - 1)[:, None] * len(x) + np.arange(len(x) - 1)).ravel()
    corners = np.stack((first, first + len(x), first + 1, first + 1, first + len(x), first + len(x) + 1), axis=1)
    return points, corners.reshape(-1, 3)


class Scene:
    """A dress with an arm hanging beside it; at rest the arm is `apart_m` farther away."""

    def __init__(self, apart_m: float) -> None:
        (dress, one), (arm, two) = sheet(-0.2, 0.2), sheet(0.22, 0.3)
        self.posed = np.concatenate((dress, arm)).astype(np.float32)
        self.on_arm = np.arange(len(self.posed)) >= len(dress)
        rest = self.posed + self.on_arm[:, None] * np.array([apart_m, 0, 0], np.float32)
        self.parts = Parts(rest, np.concatenate((one, two + len(dress))), np.where(self.on_arm, ARM, TRUNK))
        self.rim = ~self.on_arm & (self.posed[:, 0] > 0.14)
        self.color = np.where(self.on_arm[:, None], SKIN, BLUE)
        blank = np.zeros((250, 250))
        camera = Camera(500.0, 125.0, 125.0, 250, 250)
        self.frame = Keyframe(0, camera, np.stack([blank] * 3, -1).astype(np.uint8), blank.astype(np.uint8), blank)

    def kept(self, color: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of one frame's looks and of the volume's colours count, if everything is seen in `color`."""
        ones = np.ones(len(color), np.float32)
        looks = VertexLooks(ones[None], color[None].astype(np.float32), np.ones((1, 3), np.float32))
        made, mean = own_looks(looks, Samples(color, ones, ones), self.parts, [self.frame], [self.posed])
        return made.weight[0] > 0, mean.color_weight > 0


def test_an_arm_beside_a_dress_is_not_painted_on_it() -> None:
    """Whether it is lit as elsewhere or in the dress's shade."""
    scene = Scene(apart_m=0.5)
    for light in (1.0, 0.75):
        color = np.where(scene.rim[:, None], light * SKIN, scene.color)
        for kept in scene.kept(color):
            assert not kept[scene.rim].any() and kept[~scene.rim].all()


def test_an_arm_does_not_darken_what_it_hangs_beside() -> None:
    scene = Scene(apart_m=0.5)
    for kept in scene.kept(np.where(scene.rim[:, None], 0.75 * BLUE, scene.color)):
        assert not kept[scene.rim].any() and kept[~scene.rim].all()
    dark = (np.arange(len(scene.color)) % 2 == 0)[:, None] & ~scene.on_arm[:, None]
    assert all(kept.all() for kept in scene.kept(np.where(dark, 0.75 * BLUE, scene.color))), (
        "a dress that is dark itself"
    )


def test_what_a_limb_wears_itself_stays() -> None:
    scene = Scene(apart_m=0.5)
    assert all(kept.all() for kept in scene.kept(scene.color))
    stripes = np.where((np.arange(len(scene.color)) % 2 == 0)[:, None] & ~scene.on_arm[:, None], SKIN, scene.color)
    assert all(kept.all() for kept in scene.kept(stripes)), "a dress that is of the arm's colour in places"


def test_skin_beside_a_joint_stays() -> None:
    """A shoulder is bare beside the bare arm that hangs on it."""
    scene = Scene(apart_m=0.0)
    color = np.where(scene.rim[:, None], SKIN, scene.color)
    assert all(kept.all() for kept in scene.kept(color))


@pytest.mark.parametrize("of", [SKIN, BLUE])
def test_where_only_one_colour_is_known_nothing_goes(of: np.ndarray) -> None:
    scene = Scene(apart_m=0.5)
    assert all(kept.all() for kept in scene.kept(np.broadcast_to(of, scene.color.shape)))


def test_limbs_are_told_by_their_bones() -> None:
    names = ("root", "upperarm02.L", "finger1-1.R", "toe1-1.L", "lowerleg01.R", "neck01", "eye.L", "pelvis.R")
    assert limbs_of(np.arange(len(names)), names).tolist() == [5, 0, 1, 2, 3, 4, 4, 5]
