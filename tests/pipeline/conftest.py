"""A ball laid out flat, for what is painted on a surface."""

import numpy as np
import pytest
import trimesh
from dancedepth.pipeline.atlas import Atlas, lay_out

ATLAS_PX = 512


@pytest.fixture(scope="session")
def ball() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=4, radius=0.3)


@pytest.fixture(scope="session")
def atlas(ball: trimesh.Trimesh) -> Atlas:
    bones = (ball.vertices[:, 2] > 0).astype(np.int64)
    return lay_out(ball.vertices, ball.faces, bones, ("spine01", "head"), ATLAS_PX)
