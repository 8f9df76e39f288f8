"""The spine: one video, stage after stage, to one run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from dancedepth.pipeline import storage
from dancedepth.pipeline.account import account_for
from dancedepth.pipeline.config import RunConfig
from dancedepth.pipeline.depths import body_depths, load_geometry, network_depths
from dancedepth.pipeline.device import choose_device
from dancedepth.pipeline.frames import open_video
from dancedepth.pipeline.ingredients import find_ingredients
from dancedepth.pipeline.lens import choose_camera
from dancedepth.pipeline.manifest import Manifest, new_manifest
from dancedepth.pipeline.mattes import cut_out, load_mattes
from dancedepth.pipeline.peak_memory import PeakMemory
from dancedepth.pipeline.records import Observer, Silent, Surface
from dancedepth.pipeline.stages import open_run
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
    torch.manual_seed(config.seed)
    device = choose_device(config.device)
    frames = open_video(video, config.frames)
    camera = choose_camera(config.camera, frames.info)
    ready = find_ingredients(config, device, trust)
    fresh = new_manifest(frames.info, config, ready.records())
    with PeakMemory() as memory, open_run(out, fresh, observer or Silent(), memory, overwrite) as run:
        folder = run.folder
        tracks = run.stage(
            "tracks",
            make=lambda told: track_people(frames, ready.detector(), config.tracks, told),
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
            make=lambda told: _body_motion().fit_body(tracks, mattes, ready.body(), camera, config.body_motion, told),
            save=lambda motion: storage.write_motion(folder.motion, motion),
            load=lambda: storage.read_motion(folder.motion),
            count=lambda motion: int(motion.fitted.sum()),
        )
        geometry = run.stage(
            "depths",
            make=lambda told: (
                body_depths(motion, mattes, ready.body(), folder, told)
                if config.depths.model == "body"
                else network_depths(frames, motion, mattes, ready.body(), ready.depth_networks(), folder, told)
            ),
            load=lambda: load_geometry(folder, folder.image_indices("depth")),
            count=lambda geometry: len(geometry.depth.indices),
            total=len(mattes.indices),
        )
        run.stage(
            "fusion",
            make=lambda told: _fusion().fuse(
                frames, tracks, mattes, geometry, motion, ready.body(), config.fusion, told, device
            ),
            save=lambda surface: _save_surface(surface, folder),
            load=lambda: storage.read_surface(folder.surface),
            count=lambda _: len(geometry.depth.indices),
            total=len(geometry.depth.indices),
        )
        run.record(account_for(run.manifest, frames, tracks, mattes, motion, geometry))
        return RunSummary(out, run.manifest, run.reused)


def _body_motion() -> ModuleType:
    """Imported when it is needed: what it rests on takes five seconds, and a resumed or failing run needs it not."""
    from dancedepth.pipeline import body_motion

    return body_motion


def _fusion() -> ModuleType:
    """As above, for Open3D's two seconds."""
    from dancedepth.pipeline import fusion

    return fusion


def _save_surface(surface: Surface, folder: RunFolder) -> None:
    storage.write_surface(folder.surface, surface)
    storage.write_mesh_ply(folder.mesh_ply, surface)
    storage.write_mesh_glb(folder.mesh_glb, surface)
