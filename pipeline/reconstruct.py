"""The spine: one video, stage after stage, to one run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from dancedepth.models.checkpoint import save_weights
from dancedepth.models.geometry import Camera
from dancedepth.pipeline import storage
from dancedepth.pipeline.account import account_for
from dancedepth.pipeline.config import RunConfig
from dancedepth.pipeline.depths import body_depths, load_geometry, network_depths
from dancedepth.pipeline.device import choose_device
from dancedepth.pipeline.frame_store import FrameStore
from dancedepth.pipeline.frames import VideoFrames, open_video
from dancedepth.pipeline.image_store import ImageStore
from dancedepth.pipeline.ingredients import Ingredients, find_ingredients
from dancedepth.pipeline.lens import choose_camera
from dancedepth.pipeline.manifest import Manifest, new_manifest
from dancedepth.pipeline.mattes import cut_out, load_mattes
from dancedepth.pipeline.panels import sizes_needed
from dancedepth.pipeline.peak_memory import PeakMemory
from dancedepth.pipeline.point_clouds import write_point_clouds
from dancedepth.pipeline.quality import camera_stands_still
from dancedepth.pipeline.records import (
    BodyMotion,
    GeometrySequence,
    ImageSequence,
    Observer,
    Rig,
    Silent,
    Surface,
    Tracks,
)
from dancedepth.pipeline.rig_file import read_rig, write_rig
from dancedepth.pipeline.stages import Run, open_run
from dancedepth.pipeline.tracks import track_people
from dancedepth.pipeline.workspace import RunFolder


@dataclass(frozen=True)
class RunSummary:
    """A finished run."""

    out: Path
    manifest: Manifest
    reused: tuple[str, ...]
    """Stages that had been finished before."""


def reconstruct(
    video: Path,
    out: Path,
    config: RunConfig,
    observer: Observer | None = None,
    overwrite: bool = False,
    trust: bool = False,
) -> RunSummary:
    """Reconstruct the dancer of `video` into the run folder `out`; a run that was cut off goes on where it was.

    Args:
        video: any that ffmpeg reads.
        out: made if need be.
        config: everything that decides what the run folder will hold.
        observer: told how it goes on.
        overwrite: replace another run that `out` holds.
        trust: load model files that can run code even if their hash is unknown.

    Raises:
        DanceDepthError: of the kind that says what is wrong with the video, the folder, the weights or the options.
    """
    with _begun(video, out, config, observer, overwrite, trust, fewest_frames=2) as begun:
        seen, run, folder = _seen(begun), begun.run, begun.run.folder
        surface = run.stage(
            "fusion",
            make=lambda told: _late("fusion").fuse(
                seen.frames,
                seen.tracks,
                seen.mattes,
                seen.geometry,
                seen.motion,
                begun.ready.body(),
                config.fusion,
                told,
                begun.device,
            ),
            save=lambda surface: _save_surface(surface, folder),
            load=lambda: storage.read_surface(folder.surface),
            count=lambda _: len(seen.geometry.depth.indices),
            total=len(seen.geometry.depth.indices),
        )
        _record_quality(begun, seen, surface)
        rig = run.stage(
            "rig",
            make=lambda told: _late("rig").rig_dancer(
                seen.motion, begun.ready.body(), camera_stands_still(seen.tracks), config.rig
            ),
            save=lambda rig: _save_rig(rig, surface, folder),
            load=lambda: read_rig(folder.rig),
            count=lambda rig: len(rig.times_s),
        )
        run.stage(
            "report",
            make=lambda told: _late("report").show_run(
                folder, _accounted(begun, seen, rig), seen.frames, surface, rig, told
            ),
            load=lambda: len(rig.times_s),
            count=lambda frames: frames,
            total=len(rig.times_s),
        )
        return _finished(begun, seen, rig)


def reconstruct_depth(
    source: Path,
    out: Path,
    config: RunConfig,
    observer: Observer | None = None,
    overwrite: bool = False,
    trust: bool = False,
) -> RunSummary:
    """Depth, normals and point clouds of a video or a single picture: the stages of `reconstruct` up to the depths.

    `reconstruct` with the same configuration goes on from there.

    Raises:
        DanceDepthError: as `reconstruct`.
    """
    with _begun(source, out, config, observer, overwrite, trust, fewest_frames=1) as begun:
        seen, run = _seen(begun), begun.run
        run.stage(
            "points",
            make=lambda told: write_point_clouds(seen.frames, seen.geometry, seen.motion.camera, run.folder, told),
            load=lambda: seen.geometry.depth.indices,
            count=len,
            total=len(seen.geometry.depth.indices),
        )
        return _finished(begun, seen)


def follow(video: Path, out: Path, config: RunConfig, observer: Observer | None = None) -> Followed:
    """The stages of `reconstruct` up to the body's motion; training looks at its videos through them.

    Raises:
        DanceDepthError: as `reconstruct`.
    """
    with _begun(video, out, config, observer, overwrite=False, trust=False, fewest_frames=2) as begun:
        return _followed(begun)


@dataclass(frozen=True)
class _Begun:
    """A run with what its stages need."""

    run: Run
    frames: VideoFrames
    camera: Camera
    config: RunConfig
    ready: Ingredients
    device: str


@dataclass(frozen=True)
class Followed:
    """The dancer in every frame: where, cut out, and how the body moves."""

    frames: VideoFrames
    tracks: Tracks
    mattes: ImageSequence
    motion: BodyMotion


@dataclass(frozen=True)
class _Seen(Followed):
    """And the geometry."""

    geometry: GeometrySequence


@contextmanager
def _begun(
    video: Path,
    out: Path,
    config: RunConfig,
    observer: Observer | None,
    overwrite: bool,
    trust: bool,
    fewest_frames: int,
) -> Iterator[_Begun]:
    torch.manual_seed(config.seed)
    device = choose_device(config.device)
    frames = open_video(video, config.frames, fewest_frames)
    camera = choose_camera(config.camera, frames.info)
    ready = find_ingredients(config, device, trust)
    fresh = new_manifest(frames.info, config, ready.records())
    store, images = FrameStore(sizes_needed(frames.info)), ImageStore()
    with PeakMemory() as memory, open_run(out, fresh, observer or Silent(), memory, overwrite) as run, store, images:
        run.folder = replace(run.folder, images=images)
        yield _Begun(run, frames.kept_in(store), camera, config, ready, device)


def _followed(begun: _Begun) -> Followed:
    """The stages that follow the dancer."""
    run, frames, config, ready, folder = begun.run, begun.frames, begun.config, begun.ready, begun.run.folder
    tracks = run.stage(
        "tracks",
        make=lambda told: track_people(frames, ready.detector(), ready.landmarks(), config.tracks, told),
        save=lambda tracks: storage.write_tracks(folder.tracks, tracks),
        load=lambda: storage.read_tracks(folder.tracks),
        count=lambda tracks: len(tracks.times_s),
        total=frames.expected_frames,
    )
    mattes = run.stage(
        "mattes",
        make=lambda told: cut_out(frames, tracks, ready.matting(), config.mattes, folder, told),
        load=lambda: load_mattes(folder, folder.image_indices("masks")),
        count=lambda mattes: len(mattes.indices),
        total=len(tracks.times_s),
    )
    motion = run.stage(
        "body_motion",
        make=lambda told: _late("body_motion").fit_body(
            frames, tracks, mattes, ready.body(), begun.camera, ready.finders(), config.body_motion, told
        ),
        save=lambda motion: storage.write_motion(folder.motion, motion),
        load=lambda: storage.read_motion(folder.motion),
        count=lambda motion: int(motion.fitted.sum()),
    )
    return Followed(frames, tracks, mattes, motion)


def _seen(begun: _Begun) -> _Seen:
    """The stages that look at the frames."""
    known, folder = _followed(begun), begun.run.folder
    geometry = begun.run.stage(
        "depths",
        make=lambda told: _depths(begun, known, told),
        load=lambda: load_geometry(folder, folder.image_indices("depth")),
        count=lambda geometry: len(geometry.depth.indices),
        total=len(known.mattes.indices),
    )
    return _Seen(known.frames, known.tracks, known.mattes, known.motion, geometry)


def _depths(begun: _Begun, known: Followed, told: Observer) -> GeometrySequence:
    """The body's own, or the networks', which may learn from the clip first."""
    ready, folder, steps = begun.ready, begun.run.folder, begun.config.depths.adapt_steps
    if begun.config.depths.model == "body":
        return body_depths(known.motion, known.mattes, ready.body(), folder, told)
    net = ready.depth_networks()
    if steps:
        clip = (known.frames, known.tracks, known.mattes, known.motion)
        adapted = _late("adaptation").adapt(net, *clip, ready.body(), steps, begun.config.seed, told)
        begun.run.record(replace(begun.run.manifest, adaptation=adapted.record))
        save_weights(folder.adapted, adapted.net, ready.depth_provenance(f"{adapted.record.steps} steps on one clip"))
        net, told = adapted.net, _late("adaptation").After(told, adapted.record.steps)
    return network_depths(known.frames, known.motion, known.mattes, ready.body(), net, folder, told)


def _accounted(begun: _Begun, seen: _Seen, rig: Rig | None = None) -> Manifest:
    return account_for(begun.run.manifest, seen.frames, seen.tracks, seen.mattes, seen.motion, seen.geometry, rig)


def _finished(begun: _Begun, seen: _Seen, rig: Rig | None = None) -> RunSummary:
    run = begun.run
    run.record(_accounted(begun, seen, rig))
    return RunSummary(run.folder.root, run.manifest, run.reused)


def _record_quality(begun: _Begun, seen: _Seen, surface: Surface) -> None:
    """Unless the surface is one that was measured before."""
    run, motion = begun.run, seen.motion
    if "fusion" in run.reused and run.manifest.quality.coverage is not None:
        return
    body = begun.ready.body()
    rest = motion.rest(body)
    skin, faces = rest.vertices.cpu().numpy(), body.faces.cpu().numpy()
    measured = _late("surface_quality").measure_surface(surface, motion, seen.mattes, seen.geometry.depth, skin, faces)
    run.record(replace(run.manifest, quality=replace(run.manifest.quality, **asdict(measured))))


def _late(name: str) -> ModuleType:
    """A module that rests on libraries which take seconds to load: a resumed or failing run may not need it."""
    return import_module(f"dancedepth.pipeline.{name}")


def _save_surface(surface: Surface, folder: RunFolder) -> None:
    from dancedepth.pipeline.export.glb import write_mesh_glb

    storage.write_surface(folder.surface, surface)
    storage.write_mesh_ply(folder.mesh_ply, surface)
    write_mesh_glb(folder.mesh_glb, surface, storage.gltf_axes(surface.vertices))


def _save_rig(rig: Rig, surface: Surface, folder: RunFolder) -> None:
    from dancedepth.pipeline.export.glb import write_dancer_glb

    write_rig(folder.rig, rig)
    write_dancer_glb(folder.dancer_glb, surface, rig)
