"""xatlas in a process of its own."""

import sys

import numpy as np
import pytest
import trimesh
from dancedepth.pipeline import unwrapping
from dancedepth.pipeline.unwrapping import Charts, Mesh, elsewhere, unwrapped

SIZE_PX = 256


@pytest.fixture
def meshes() -> list[Mesh]:
    solids = trimesh.creation.icosphere(subdivisions=2), trimesh.creation.capsule(height=1.0, radius=0.2)
    return [(solid.vertices.astype(np.float32), solid.faces.astype(np.uint32)) for solid in solids]


def alike(some: list[Charts], others: list[Charts]) -> bool:
    pairs = zip(some, others, strict=True)
    return all(np.array_equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


def test_another_process_says_the_same(meshes: list[Mesh], monkeypatch: pytest.MonkeyPatch) -> None:
    here = unwrapped(meshes, SIZE_PX)
    monkeypatch.setattr(unwrapping, "unwrapped", lambda *_: pytest.fail("this process was used"))
    assert alike(elsewhere(meshes, SIZE_PX), here)


@pytest.mark.parametrize("executable", ["/no/such/python", "false"])
def test_without_another_process_this_one_does_it(
    meshes: list[Mesh], executable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    assert alike(elsewhere(meshes, SIZE_PX), unwrapped(meshes, SIZE_PX))
