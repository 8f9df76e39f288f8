"""Decoding a video: its frames as displayed, in order, with the times at which they are shown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dancedepth.pipeline.config import FramesConfig
from dancedepth.pipeline.decoder import Decoder, Log
from dancedepth.pipeline.errors import VideoError
from dancedepth.pipeline.frame_store import FrameStore, Kept
from dancedepth.pipeline.probe import probe_video
from dancedepth.pipeline.records import Frame, VideoInfo

SHORTFALL_S = 0.7
"""A clip that ends this much before its stated length, with decoding errors, was cut off."""


def open_video(path: Path, config: FramesConfig, fewest: int = 2) -> VideoFrames:
    """The frames of a video that a run uses: the first one in each 1/fps of a second, from start to end.

    A single picture is a video of one frame, where `fewest` allows that.

    Raises:
        VideoError: missing, a folder, empty, not a video, or shorter than the start. A video that holds fewer
            frames than `fewest` there, or none that decodes, is found when iterating.
    """
    info = probe_video(path)
    if info.duration_s is not None and config.start_s >= info.duration_s:
        what = f"the start, {config.start_s:g} s, lies after the video's end at {info.duration_s:.2f} s"
        raise VideoError(what, str(path), "Choose an earlier --start")
    return VideoFrames(info, config, fewest)


class VideoFrames:
    """A `FrameSource`: every iteration runs ffmpeg anew and holds one frame at a time.

    With a store, frames that it has come from there, and those that the first iteration decodes go into it.
    """

    def __init__(self, info: VideoInfo, config: FramesConfig, fewest: int = 2, store: FrameStore | None = None) -> None:
        self.info, self._config, self._fewest, self._store = info, config, fewest, store
        self.warnings: tuple[str, ...] = ()
        """What the last whole decoding met that a user should know, in plain words."""
        self.expected_frames = _expected_frames(info, config)

    def resized(self, width: int, height: int) -> VideoFrames:
        """The same frames in another size, which is cheaper to decode and to hold if it is smaller."""
        info = replace(self.info, width=width, height=height)
        return VideoFrames(info, self._config, self._fewest, self._store)

    def kept_in(self, store: FrameStore) -> VideoFrames:
        """The same frames, which need not be decoded twice while `store` lasts; its first size is theirs."""
        return VideoFrames(self.info, self._config, self._fewest, store)

    def __iter__(self) -> Iterator[Frame]:
        size, store = (self.info.height, self.info.width), self._store
        count, last = 0, None
        if store is not None and size in store.sizes:
            while (rgb := store.read(count, size)) is not None:
                last = store.known(count)
                yield Frame(count, last.time_s, rgb)
                count += 1
            if count and store.whole and count == len(store):
                return
        yield from self._decoded(count, last)

    def _decoded(self, count: int, last: Kept | None) -> Iterator[Frame]:
        """Frames from number `count` on, which follow on the picture `last`."""
        number = 0 if last is None else last.number + 1
        time_s = 0.0 if last is None else last.time_s
        store = self._store if self._may_keep(count) else None
        with Decoder(self.info, self._config, number, store.sizes[1:] if store is not None else ()) as decoder:
            while (rgb := decoder.next_image()) is not None:
                others = decoder.other_images()
                shown_s = self._config.start_s + decoder.log.next_time()
                if count == 0 or shown_s > time_s:  # damaged files show frames at no time, or once more at an old one
                    time_s = shown_s if math.isfinite(shown_s) else 0.0
                    if store is not None and others is not None and len(store) == count:
                        store.add(Kept(number, time_s), (rgb, *others))
                    yield Frame(count, time_s, rgb)
                    count += 1
                number += 1
        self._judge(count, time_s, decoder.log)
        if store is not None:
            store.whole = len(store) == count

    def _may_keep(self, count: int) -> bool:
        store, size = self._store, (self.info.height, self.info.width)
        return store is not None and store.takes_more and size == store.sizes[0] and len(store) == count

    def _judge(self, count: int, last_time_s: float, log: Log) -> None:
        if count < self._fewest:
            raise VideoError(*self._too_short(count, log))
        end = min(self._config.end_s or math.inf, self.info.duration_s or 0.0)
        step = 1 / min(self._config.fps, self.info.fps)
        if log.errors and last_time_s + step < end - SHORTFALL_S:
            said = f"the video should last {end:.1f} s, but could be read only to {last_time_s:.1f} s; it is cut off"
            self.warnings = (said,)
        elif log.errors:
            self.warnings = (f"parts of the video are damaged ({log.errors[0]})",)
        else:
            self.warnings = ()

    def _too_short(self, count: int, log: Log) -> tuple[str, str, str]:
        where = str(self.info.path)
        if log.errors:
            return f"the video's frames cannot be decoded ({log.errors[-1]})", where, "Is the file complete?"
        span = f" from {self._config.start_s:g} s" if self._config.start_s else ""
        span += f" to {self._config.end_s:g} s" if self._config.end_s else ""
        found = "no frame" if count == 0 else "only one frame"
        return f"there is {found}{span}; a moving dancer takes two or more", where, "Choose a longer clip"


def _expected_frames(info: VideoInfo, config: FramesConfig) -> int | None:
    if info.duration_s is None and config.end_s is None:
        return None
    end = min(config.end_s or math.inf, info.duration_s or math.inf)
    return max(1, round((end - config.start_s) * min(config.fps, info.fps)))
