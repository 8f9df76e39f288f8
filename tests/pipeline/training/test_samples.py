from pathlib import Path

import pytest
import torch
from dancedepth.models import losses
from dancedepth.models.body import SKIN_VERTICES, BodyModel
from dancedepth.models.geometry import Camera, project
from dancedepth.pipeline.synthesis.motion import dance
from dancedepth.pipeline.synthesis.scene import draw_phenotype
from dancedepth.pipeline.synthesis.staging import frame_dancer, world_poses
from dancedepth.pipeline.training.augment import augmented, mirrored
from dancedepth.pipeline.training.config import DataConfig, TrainConfig
from dancedepth.pipeline.training.dataset import Schedule, collate
from dancedepth.pipeline.training.fit_errors import misfit
from dancedepth.pipeline.training.people import HELD_OUT, VALIDATION_SEED, draw_person
from dancedepth.pipeline.training.sample_files import read_sample, write_samples
from dancedepth.pipeline.training.views import Sample, draw_view

SIZE = (96, 144)


@pytest.fixture(scope="module")
def sample(body: BodyModel) -> Sample:
    person = draw_person(body, DataConfig(views=2), 3)
    return draw_view(body, person, 1, SIZE, 1.0, torch.Generator().manual_seed(6))


def test_truth_agrees_with_itself(sample: Sample) -> None:
    batch = collate([sample])
    own, known = losses.surface_normals(batch.depth + batch.given.root_depth, batch.given.rays, batch.mask)
    assert known.float().sum() > 0.6 * batch.mask.float().sum()
    assert losses.normal_angle_deg(own, batch.normals, known)[0] < 14  # folds and fingers are finer than these pixels
    assert ((batch.normals[:, :2] * batch.given.rays).sum(1) + batch.normals[:, 2])[batch.mask[:, 0]].max() < 0.02


def test_the_given_body_is_near_the_truth_but_not_it(sample: Sample) -> None:
    batch = collate([sample])
    both = batch.mask & (batch.given.coverage > 0)
    assert both.sum() > 0.6 * batch.mask.sum()
    error_mm = 1700 * float(losses.depth_l1(batch.given.body_offset, batch.depth, both))
    assert 3 < error_mm < 250


def test_samples_come_back_from_disk(sample: Sample, tmp_path: Path) -> None:
    write_samples(tmp_path / "one.safetensors", [sample, sample])
    again = read_sample(tmp_path / "one.safetensors", 1)
    assert torch.equal(again.rgb, sample.rgb) and torch.equal(again.camera, sample.camera)
    assert torch.equal(again.depth.isnan(), sample.depth.isnan())
    assert (again.depth - sample.depth).nan_to_num().abs().max() < 2e-5
    known = ~sample.depth.isnan()[0]
    assert torch.allclose(again.normals[:, known], sample.normals[:, known], atol=0.01)


def test_mirroring_keeps_geometry_and_undoes_itself(sample: Sample) -> None:
    twice = mirrored(mirrored(sample))
    assert torch.equal(twice.normals, sample.normals) and torch.allclose(twice.camera, sample.camera)
    batch, flipped = collate([sample]), collate([mirrored(sample)])
    angles = []
    for one in (batch, flipped):
        own, known = losses.surface_normals(one.depth + one.given.root_depth, one.given.rays, one.mask)
        angles.append(float(losses.normal_angle_deg(own, one.normals, known)[0]))
    assert angles[0] == pytest.approx(angles[1], abs=0.05)


def test_augmentation_is_drawn_from_its_seed(sample: Sample) -> None:
    one, same, other = (augmented(sample, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.rgb, same.rgb) and torch.equal(one.alpha, same.alpha)
    assert not torch.equal(one.rgb, other.rgb)


def test_misfits_hide_along_the_line_of_sight(body: BodyModel) -> None:
    generator = torch.Generator().manual_seed(0)
    phenotype = draw_phenotype(generator)
    rest = body.rest(phenotype)
    poses = world_poses(body, rest, dance(body, rest, 12, 3, 0))
    view = frame_dancer(body, rest, poses, (400, 600), 0)
    names = ("lowerarm01.L", "lowerarm01.R", "wrist.L", "wrist.R", "lowerleg01.L", "lowerleg01.R", "neck01", "root")
    bones = [body.bone(name) for name in names]

    def joints(rest_poses: torch.Tensor, cam_from_rest: torch.Tensor) -> torch.Tensor:
        return (cam_from_rest[bones] @ rest_poses[bones])[:, :3, 3]

    errors, pixels = [], []
    for pose in poses:
        true = view.cam_from_world @ pose
        fit = misfit(body, rest, phenotype, true, generator)
        a, b = joints(rest.bone_poses, true), joints(fit.rest.bone_poses, fit.cam_from_rest)
        errors.append(((a - a[-1]) - (b - b[-1])).norm(dim=1).mean())
        pixels.append((project(a, view.camera) - project(b, view.camera)).norm(dim=1).mean() / view.camera.focal_px)
    in_space, in_image = float(torch.stack(errors).mean()), float(torch.stack(pixels).mean()) * float(a[-1, 2])
    assert 0.025 < in_space < 0.07
    assert in_image < 0.35 * in_space


def test_without_errors_the_body_is_right(body: BodyModel) -> None:
    generator = torch.Generator().manual_seed(1)
    phenotype = draw_phenotype(generator)
    rest = body.rest(phenotype)
    poses = world_poses(body, rest, dance(body, rest, 4, 1, 0))
    view = frame_dancer(body, rest, poses, (400, 600), 0)
    true = view.cam_from_world @ poses[2]
    fit = misfit(body, rest, phenotype, true, generator, strength=0)
    far = (body.skin(rest.vertices, true[None]) - body.skin(fit.rest.vertices, fit.cam_from_rest[None]))[0].norm(dim=1)
    assert far[:SKIN_VERTICES].quantile(0.5) < 1e-4


def test_a_person_is_drawn_from_their_seed(body: BodyModel, shared: Path) -> None:
    config = DataConfig(
        views=2, wardrobe=str(shared / "wardrobe"), mocap=str(shared / "mocap"), wardrobe_share=1.0, mocap_share=1.0
    )
    one, same = (draw_person(body, config, 11) for _ in range(2))
    assert torch.equal(one.world_from_rest, same.world_from_rest) and one.wears == same.wears
    held_out = draw_person(body, config, VALIDATION_SEED)
    assert not HELD_OUT & {*one.wears, one.moves}
    assert held_out.moves in HELD_OUT
    assert HELD_OUT & set(held_out.wears)


def test_the_schedule_moves_on_and_can_start_anywhere() -> None:
    config = TrainConfig(preset="tiny", batch=2, data=DataConfig(people=3, views=4, fresh_people=0.5))
    schedule = Schedule(config)
    assert list(schedule.window(0)) == [0, 1, 2] and list(schedule.window(4)) == [2, 3, 4]
    picks = [schedule.pick(number) for number in range(40)]
    assert picks == [Schedule(config).pick(number) for number in range(40)]
    assert all(pick[0] in schedule.window(number // 2) for number, pick in enumerate(picks))
    assert len({pick[2] for pick in picks}) == 40


def test_camera_of_a_view_looks_at_the_person(sample: Sample) -> None:
    rows = torch.nonzero((sample.alpha[0] > 128).any(dim=1))[:, 0]
    assert len(rows) > 0.4 * SIZE[1]
    focal, cx, cy, root = sample.camera.tolist()
    camera = Camera(focal, cx, cy, *SIZE)
    assert camera.focal_px > 0 and root > 0.5
