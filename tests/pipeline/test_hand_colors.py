"""Hands take their colour from looks at hands, not from the skirt behind their fingers."""

import numpy as np
import pytest
from dancedepth.pipeline.hand_colors import of_one_color
from dancedepth.pipeline.vertex_colors import VertexLooks
from dancedepth.pipeline.volume_sampling import Samples

SKIN, RED = np.array([0.8, 0.6, 0.5]), np.array([0.85, 0.1, 0.15])


@pytest.mark.parametrize("behind", [3, 4])
def test_what_lies_behind_a_hand_is_not_painted_on_it(behind: int) -> None:
    """Not even where most frames show it there; the face says what skin looks like."""
    random = np.random.default_rng(0)
    hands, face = np.arange(70) < 40, np.arange(70) >= 60
    color = SKIN + 0.03 * random.standard_normal((5, 70, 3))
    color[:behind, :30] = RED
    color[:, 40:60] = RED
    looks = VertexLooks(np.ones((5, 70), np.float32), color.astype(np.float32), np.ones((5, 3), np.float32))
    samples = Samples(color.mean(axis=0), np.ones(70), np.ones(70))
    painted, mean = of_one_color(looks, samples, hands, face)
    assert not painted.weight[:behind, :30].any() and painted.weight[behind:, :30].all()
    assert painted.weight[:, 30:].all(), "hands' own looks, and all that are of clothes"
    assert not mean.color_weight[:30].any() and mean.color_weight[30:].all()


def test_gloves_keep_their_colour() -> None:
    color = np.concatenate((np.tile(RED, (3, 40, 1)), np.tile(SKIN, (3, 20, 1))), axis=1).astype(np.float32)
    looks = VertexLooks(np.ones((3, 60), np.float32), color, np.ones((3, 3), np.float32))
    samples = Samples(color[0], np.ones(60), np.ones(60))
    painted, _ = of_one_color(looks, samples, np.arange(60) < 40, np.arange(60) >= 40)
    assert painted.weight.all()


def test_hands_that_nobody_saw_stay_as_they_are() -> None:
    looks = VertexLooks(np.zeros((2, 10), np.float32), np.zeros((2, 10, 3), np.float32), np.ones((2, 3), np.float32))
    samples = Samples(np.zeros((10, 3)), np.zeros(10), np.zeros(10))
    assert of_one_color(looks, samples, np.ones(10, bool), np.zeros(10, bool)) == (looks, samples)
