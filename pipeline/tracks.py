"""Following the people of a clip, and choosing the dancer among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dancedepth.models.landmarks import LandmarkFinder
from dancedepth.models.pose import Detection, PersonDetector
from dancedepth.pipeline.config import TracksConfig
from dancedepth.pipeline.errors import PersonError
from dancedepth.pipeline.glimpses import BackgroundMotion, Glimpse, glimpse
from dancedepth.pipeline.identities import find_people
from dancedepth.pipeline.lookahead import ahead, side_by_side
from dancedepth.pipeline.records import Frame, FrameSource, Observer, Track, Tracks
from dancedepth.pipeline.threads import one_thread_an_operation
from jaxtyping import Float, UInt8

LEAST_FRAMES = 2
"""Somebody seen in one frame only is a false alarm, unless nobody else is there."""

MARKED_PEOPLE = 3
"""Landmarks are looked for on so many people a frame, the tallest in the image."""


def track_people(
    frames: FrameSource,
    detector: PersonDetector,
    landmarks: LandmarkFinder | None,
    config: TracksConfig,
    observer: Observer,
) -> Tracks:
    """Everybody in the clip, identities kept through crossings, and the dancer among them; one pass over the frames.

    Raises:
        PersonError: nobody found, nobody of the id that was asked for, or the dancer in too few frames.
    """
    seen: list[list[Glimpse]] = []
    times_s: list[float] = []
    shifts: list[float] = []
    background = BackgroundMotion()
    detector.reset()

    def look(frame: Frame) -> tuple[Frame, list[Detection]]:
        return frame, detector.look(frame.rgb)

    with (
        one_thread_an_operation() as threads,
        ahead(frames) as decoded,
        side_by_side(look, decoded, min(threads, detector.looks_at_once)) as looks,
    ):
        for frame, people_seen in looks:
            detections = _marked(detector.follow(people_seen), frame.rgb, landmarks)
            seen.append([glimpse(frame.index, frame.rgb, detection) for detection in detections])
            shifts.append(background.update(frame.rgb, detections))
            times_s.append(frame.time_s)
            observer.advanced()
    times = np.array(times_s)
    people = find_people(seen, times)
    where = str(frames.info.path)
    if not people:
        raise PersonError("nobody was found in this video", where, "Choose a clip that shows a person's whole body")
    size = (frames.info.width, frames.info.height)
    chosen = _choose(people, config, size, where)
    needed = min(config.min_frames, len(seen))
    if len(chosen) < needed:
        found = f"a person was found in {len(chosen)} frames only, and {needed} are needed"
        raise PersonError(found, where, "Choose a longer clip, a clearer one, or a higher --fps")
    kept = [p for p in people if len(p) >= LEAST_FRAMES or p is chosen]
    tracks = tuple(_track(people.index(p) + 1, p, len(seen)) for p in kept)
    sharpness = _sharpness(chosen, len(seen))
    return Tracks(times, sharpness, np.array(shifts), tracks, kept.index(chosen), size)


def _marked(
    detections: list[Detection], rgb: UInt8[np.ndarray, "h w 3"], finder: LandmarkFinder | None
) -> list[Detection]:
    """The largest people with their landmarks, the others without."""
    if finder is None:
        return detections
    tallest = sorted(range(len(detections)), key=lambda k: detections[k].box_px[1] - detections[k].box_px[3])
    marked = list(detections)
    for k in tallest[:MARKED_PEOPLE]:
        found = finder.find(rgb, marked[k].box_px, marked[k].lean_rad)
        marked[k] = replace(marked[k], landmarks=found)
    return marked


def _choose(people: list[list[Glimpse]], config: TracksConfig, size: tuple[int, int], where: str) -> list[Glimpse]:
    prominence = [_prominence(person, size) for person in people]
    if config.person is not None:
        if not 1 <= config.person <= len(people):
            remedy = f"Choose one with --person: {_roll_call(people, size)}"
            raise PersonError(f"there is no person {config.person}", where, remedy)
        return people[config.person - 1]
    return people[int(np.argmax(prominence))]


def _prominence(person: list[Glimpse], size: tuple[int, int]) -> float:
    """Sum over frames of the person's share of the image's height, halved at the image's edge: long, large, central."""
    boxes = np.array([g.detection.box_px for g in person])
    off_centre = np.abs((boxes[:, 0] + boxes[:, 2]) / size[0] - 1).clip(0, 1)
    scores = np.array([g.detection.score for g in person])
    return float(((boxes[:, 3] - boxes[:, 1]) / size[1] * (1 - off_centre / 2) * scores).sum())


def _roll_call(people: list[list[Glimpse]], size: tuple[int, int]) -> str:
    sides = ("left", "middle", "right")
    lines = []
    for number, person in enumerate(people, 1):
        if len(person) >= LEAST_FRAMES:
            x = float(np.median([g.detection.box_px[[0, 2]].mean() for g in person])) / size[0]
            lines.append(f"{number} ({sides[int(np.clip(x * 3, 0, 2))]}, {len(person)} frames)")
    return ", ".join(lines)


def _track(number: int, person: list[Glimpse], count: int) -> Track:
    track = Track.unseen(number, count)
    for one in person:
        track.boxes_px[one.frame] = one.detection.box_px
        track.keypoints_px[one.frame] = one.detection.keypoints_px
        track.confidence[one.frame] = one.detection.confidence
        track.score[one.frame] = one.detection.score
        if one.detection.landmarks is not None:
            marks = one.detection.landmarks
            track.landmarks_px[one.frame], track.landmarks_m[one.frame] = marks.pixels, marks.places_m
            track.visibility[one.frame] = marks.visibility
    return track


def _sharpness(person: list[Glimpse], count: int) -> Float[np.ndarray, "n"]:
    values = np.zeros(count)
    for one in person:
        values[one.frame] = one.sharpness
    return values / max(values.max(), 1e-9)
