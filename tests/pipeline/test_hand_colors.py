"""Hands take their colour from looks at hands, not from the skirt behind their fingers."""

import numpy as np
from dancedepth.pipeline.hand_colors import of_one_color
from dancedepth.pipeline.vertex_colors import VertexLooks
from dancedepth.pipeline.volume_sampling import Samples

SKIN, RED = np.array([0.8, 0.6, 0.5]), np.array([0.85, 0.1, 0.15])


def test_what_lies_behind_a_hand_is_not_painted_on_it() -> None:
    random = np.random.default_rng(0)
    hands = np.arange(60) < 40
    color = SKIN + 0.05 * random.standard_normal((5, 60, 3))
    color[:3, :12] = RED
    color[:, ~hands] = RED
    looks = VertexLooks(np.ones((5, 60), np.float32), color.astype(np.float32), np.ones((5, 3), np.float32))
    samples = Samples(color.mean(axis=0), np.ones(60), np.ones(60))
    painted, mean = of_one_color(looks, samples, hands)
    assert not painted.weight[:3, :12].any() and painted.weight[3:, :12].all()
    assert painted.weight[:, 12:].all(), "hands' own looks, and all that are of clothes"
    assert not mean.color_weight[:12].any() and mean.color_weight[12:].all()


def test_hands_that_nobody_saw_stay_as_they_are() -> None:
    looks = VertexLooks(np.zeros((2, 10), np.float32), np.zeros((2, 10, 3), np.float32), np.ones((2, 3), np.float32))
    samples = Samples(np.zeros((10, 3)), np.zeros(10), np.zeros(10))
    assert of_one_color(looks, samples, np.ones(10, bool)) == (looks, samples)
