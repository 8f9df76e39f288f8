"""Clothes measured at a matte's edge: as thick as they are, and not where another limb or the picture's end is met."""

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.outlines import Outline, OutlineGauge

from tests.scenes import rest_body

CAMERA = Camera(900.0, 300.0, 450.0, 600, 900)
CLOTHES_M = 0.02


@pytest.fixture(scope="module")
def field(body: BodyModel) -> BodyField:
    return BodyField(body, rest_body(body))


def before_camera(field: BodyField, x_m: float = 0.0) -> torch.Tensor:
    """Upright, facing the camera, the whole rest body 3 m away."""
    move = torch.eye(4)
    move[:3, :3] = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    middle = torch.from_numpy((field.vertices.max(axis=0) + field.vertices.min(axis=0)) / 2)
    move[:3, 3] = torch.tensor([x_m, 0.0, 3.0]) - move[:3, :3] @ middle
    return move.repeat(field.bones, 1, 1)


def silhouette(field: BodyField, transforms: torch.Tensor, offset_m: float) -> torch.Tensor:
    corners = field.vertices[field.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(field.vertices)
    for corner in range(3):
        np.add.at(normals, field.faces[:, corner], cross)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    points = torch.from_numpy(field.vertices + offset_m * normals).float()
    seen = points @ transforms[0, :3, :3].T + transforms[0, :3, 3]
    return rasterize(seen, torch.from_numpy(field.faces).long(), CAMERA).depth_m > 0


def measured(field: BodyField, transforms: torch.Tensor, matte: torch.Tensor) -> Outline:
    gauge = OutlineGauge(field.coarse, CAMERA, torch.device("cpu"))
    body = silhouette(field, transforms, 0.0)
    for _ in range(3):
        gauge.add(matte, body, CAMERA, transforms, 1.0)
    return gauge.outline()


def limb(field: BodyField, body: BodyModel, *names: str) -> np.ndarray:
    bones = [name.startswith(names) for name in body.bone_names]
    return field.coarse.skin[:, bones].sum(axis=1) > 0.9


def test_clothes_are_as_thick_as_the_matte_is_wider(field: BodyField, body: BodyModel) -> None:
    transforms = before_camera(field)
    outline = measured(field, transforms, silhouette(field, transforms, CLOTHES_M))
    told = (outline.weight > 1) & limb(field, body, "lowerarm", "lowerleg")
    assert told.sum() > 50
    assert abs(np.median(outline.offset_m[told]) - CLOTHES_M) < 0.003
    assert (outline.weight[np.abs(field.coarse.normals[:, 1]) > 0.8] == 0).all(), "what faces the camera has no outline"


def test_a_body_wider_than_the_matte_is_measured_as_such(field: BodyField, body: BodyModel) -> None:
    transforms = before_camera(field)
    outline = measured(field, transforms, silhouette(field, transforms, -0.01))
    told = (outline.weight > 1) & limb(field, body, "lowerarm", "lowerleg")
    assert abs(np.median(outline.offset_m[told]) + 0.01) < 0.003


def test_a_limb_against_another_is_not_taken_for_clothes(field: BodyField, body: BodyModel) -> None:
    """With its legs together a body shows the way from one to the other as its own."""
    transforms = before_camera(field)
    legs = limb(field, body, "upperleg", "lowerleg")
    inner = legs & (field.coarse.normals[:, 0] * np.sign(field.coarse.points[:, 0]) < -0.9)
    matte = silhouette(field, transforms, CLOTHES_M)
    assert measured(field, transforms, matte).weight[inner].max() > 1
    rows = torch.nonzero(matte)[:, 0]
    filled = torch.zeros_like(matte)
    for row in range(int(rows.min()), int(rows.max()) + 1):
        columns = torch.nonzero(matte[row])[:, 0]
        if len(columns):
            filled[row, int(columns.min()) : int(columns.max()) + 1] = True
    assert measured(field, transforms, filled).weight[inner].sum() == 0


def test_where_the_picture_ends_is_no_edge(field: BodyField) -> None:
    transforms = before_camera(field, x_m=1.05)
    outline = measured(field, transforms, silhouette(field, transforms, CLOTHES_M))
    at = field.coarse.points @ transforms[0, :3, :3].T.numpy() + transforms[0, :3, 3].numpy()
    column = at[:, 0] / at[:, 2] * CAMERA.focal_px + CAMERA.cx
    assert outline.weight.sum() > 0
    assert (outline.weight[column > CAMERA.width - 5] == 0).all()


def test_a_sample_that_nobody_saw_edge_on_has_no_weight(field: BodyField) -> None:
    outline = OutlineGauge(field.coarse, CAMERA, torch.device("cpu")).outline()
    assert (outline.weight == 0).all() and (outline.offset_m == 0).all()
