from pathlib import Path

import numpy as np
from dancedepth.pipeline.storage import read_normals, read_picture, write_normals


def test_normals_survive_their_file(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    normals = generator.normal(size=(64, 48, 3)).astype(np.float32)
    normals[0, :6] = np.concatenate((np.eye(3), -np.eye(3)))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals[20:30] = 0
    write_normals(tmp_path / "n.png", normals)
    found = read_normals(tmp_path / "n.png")
    assert found.dtype == np.float32 and not found[20:30].any()
    some = np.delete(np.arange(64), np.arange(20, 30))
    angle = np.degrees(np.arccos(np.clip((found[some] * normals[some]).sum(axis=-1), -1, 1)))
    assert angle.max() < 0.5
    assert np.allclose(np.linalg.norm(found[some], axis=-1), 1, atol=1e-6)
    stored = read_picture(tmp_path / "n.png")
    assert stored[0, 0].tolist() == [255, 128, 128] and stored[0, 5].tolist() == [128, 128, 0]
    assert not stored[20:30].any()
