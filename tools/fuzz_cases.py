"""Videos that nobody should be able to break the program with, made from one seed: `make_cases`.

Random bytes behind the marks of real containers; real clips with flipped, cut, doubled and swapped parts; mp4 headers
that lie about sizes and durations; everything unusual that ffmpeg can write; hostile names; links, pipes and devices.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import chdir, suppress
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
from dancedepth.pipeline.config import FramesConfig
from fuzz_material import BASES, CROPS, GOOD, HOSTILE_NAMES, MADE, MARKS, SCRIPTS, SIZES


@dataclass(frozen=True)
class Case:
    """One input, and how it is to be read."""

    name: str
    path: Path
    frames: FramesConfig


def make_cases(folder: Path, count: int, seed: int, dancer: Path | None = None) -> list[Case]:
    """At least `count` cases in `folder`, the same ones for the same seed and ffmpeg.

    Args:
        folder: emptied first.
        count: of all cases together; damaged clips make up what the fixed kinds leave.
        seed: of everything random.
        dancer: a real clip of a person, of which some damaged ones are made, so that later stages are reached too.
    """
    folder = folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chance = random.Random(seed)
    bases = _bases(folder / "base")
    makers: list[Callable[[], Iterator[Path]]] = [
        lambda: _made(folder / "made"),
        lambda: _sizes(folder / "sizes"),
        lambda: _cropped(folder / "cropped", bases[GOOD]),
        lambda: _joined(folder / "joined", bases),
        lambda: _scripts(folder / "scripts"),
        lambda: _named(folder / "named", bases[GOOD]),
        lambda: _special(folder / "special", bases[GOOD]),
        lambda: _lies(folder / "lies", bases[GOOD], chance),
    ]
    paths = [path for maker in makers for path in maker()]
    left = max(60, count - len(paths))
    paths += _noise(folder / "noise", left // 4, chance)
    paths += _damaged(folder / "damaged", list(bases.values()), left - left // 4, chance)
    if dancer is not None:
        paths += _damaged(folder / "dancer", [dancer], 8, chance)
    return [Case(str(path.relative_to(folder)), path, _reading(chance)) for path in paths]


def _reading(chance: random.Random) -> FramesConfig:
    """Mostly as anybody would, sometimes absurdly."""
    fps = chance.choice([4.0, 4.0, 4.0, 12.0, 240.0, 0.01, 29.97])
    start_s = chance.choice([0.0] * 12 + [0.25, 1e-9, 1e6])
    length_s = chance.choice([None] * 9 + [1.0, 1e-9, 1e6])
    end_s = None if length_s is None or start_s + length_s <= start_s else start_s + length_s
    return FramesConfig(fps, start_s, end_s)


def _encode(
    path: Path, options: list[str], source: str = "testsrc2=s=96x160:r=12:d=1", before: list[str] | None = None
) -> bool:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *(before or [])]
    command += ["-f", "lavfi", "-i", source, "-threads", "1", *options, "-fflags", "+bitexact", f"file:{path}"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    return done.returncode == 0 and path.is_file()


def _bases(folder: Path) -> dict[str, Path]:
    folder.mkdir()
    made = {name: folder / name for name, options in BASES.items() if _encode(folder / name, options)}
    if GOOD not in made:
        raise RuntimeError("ffmpeg could not write the clip that all others are made from")
    return made


def _made(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    for name, options in MADE.items():
        if _encode(folder / name, options):
            if name.startswith("rotated"):
                _turn(folder / name)
            yield folder / name


def _turn(path: Path) -> None:
    other = path.with_suffix(".turned.mp4")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-display_rotation", "45", "-i", str(path)]
    subprocess.run([*command, "-c", "copy", str(other)], check=True, capture_output=True)
    other.replace(path)


def _sizes(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    for size in SIZES:
        path = folder / f"{size}.mkv"
        if _encode(path, ["-c:v", "ffv1", "-pix_fmt", "bgr0"], f"color=red:s={size}:r=4:d=1"):
            yield path


def _cropped(folder: Path, good: Path) -> Iterator[Path]:
    """Clips whose own header cuts their picture down to nothing, or nearly so."""
    folder.mkdir()
    for number, crop in enumerate(CROPS):
        path = folder / f"crop_{number}.mp4"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(good), "-c", "copy"]
        subprocess.run([*command, "-bsf:v", f"h264_metadata={crop}", str(path)], check=True, capture_output=True)
        yield path


def _joined(folder: Path, bases: dict[str, Path]) -> Iterator[Path]:
    """Clips whose size changes on the way, and containers glued to each other."""
    folder.mkdir()
    parts = []
    for size in ("64x48", "160x96", "16x16"):
        part = folder / f"part_{size}.ts"
        if _encode(part, ["-c:v", "mpeg2video", "-f", "mpegts"], f"testsrc2=s={size}:r=24:d=1"):
            parts.append(part.read_bytes())
        part.unlink(missing_ok=True)
    kinds = {"sizes.ts": b"".join(parts), "twice.mp4": bases[GOOD].read_bytes() * 2}
    kinds["mp4_then_zip.mp4"] = bases[GOOD].read_bytes() + b"PK\3\4" + bytes(2000)
    kinds["zeros_first.mp4"] = bytes(5000) + bases[GOOD].read_bytes()
    for name, data in kinds.items():
        (folder / name).write_bytes(data)
        yield folder / name


def _scripts(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text)
        yield folder / name


def _named(folder: Path, good: Path) -> Iterator[Path]:
    folder.mkdir()
    for name in HOSTILE_NAMES:
        with suppress(OSError):
            shutil.copyfile(good, folder / name)
            yield folder / name


def _special(folder: Path, good: Path) -> Iterator[Path]:
    """What is no plain file."""
    folder.mkdir()
    (folder / "linked.mp4").symlink_to(good)
    (folder / "nowhere.mp4").symlink_to(folder / "gone")
    (folder / "circle.mp4").symlink_to(folder / "circle.mp4")
    (folder / "zeros.mp4").symlink_to("/dev/zero")
    (folder / "chance.mp4").symlink_to("/dev/urandom")
    (folder / "nothing.mp4").symlink_to("/dev/null")
    (folder / "terminal.mp4").symlink_to("/dev/tty")
    (folder / "itself.mp4").symlink_to("/proc/self/exe")
    (folder / "memory.mp4").symlink_to("/proc/self/mem")
    (folder / "folder.mp4").mkdir()
    (folder / "empty.mp4").touch()
    os.mkfifo(folder / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listener, chdir(folder):
        listener.bind("socket.mp4")
    with (folder / "holes.mp4").open("wb") as file:
        file.write(good.read_bytes()[:64])
        file.truncate(8 << 30)
    yield from sorted(folder.iterdir())


def _lies(folder: Path, good: Path, chance: random.Random) -> Iterator[Path]:
    """An mp4 whose index says what is not so: sizes, durations, counts and offsets."""
    folder.mkdir()
    data = good.read_bytes()
    extremes = [0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x00010000, 0x4000]
    for kind in (
        b"mvhd",
        b"tkhd",
        b"mdhd",
        b"avc1",
        b"stts",
        b"stsz",
        b"stsc",
        b"stco",
        b"elst",
        b"ctts",
        b"hdlr",
        b"moov",
    ):
        found = data.find(kind)
        for number in range(6 if found >= 0 else 0):
            changed = bytearray(data)
            place = found + 4 + 4 * chance.randrange(0, 22)
            changed[place : place + 4] = struct.pack(">I", chance.choice(extremes))
            path = folder / f"{kind.decode()}_{number}.mp4"
            path.write_bytes(changed)
            yield path
    found = data.find(b"avc1", data.find(b"stsd"))
    for width, height in ((65535, 65535), (0, 0), (1, 65535), (20000, 20000)):
        changed = bytearray(data)
        changed[found + 28 : found + 32] = struct.pack(">HH", width, height)
        path = folder / f"says_{width}x{height}.mp4"
        path.write_bytes(changed)
        yield path


def _noise(folder: Path, count: int, chance: random.Random) -> Iterator[Path]:
    folder.mkdir()
    for number in range(count):
        suffix = chance.choice(list(MARKS))
        path = folder / f"{number:03d}.{suffix}"
        path.write_bytes(
            MARKS[suffix] * chance.randrange(2) + chance.randbytes(chance.choice([1, 7, 300, 5000, 60000]))
        )
        yield path


def _damaged(folder: Path, bases: list[Path], count: int, chance: random.Random) -> Iterator[Path]:
    folder.mkdir()
    for number in range(count):
        base = chance.choice(bases)
        damage = chance.choice([_flip, _flip, _cut, _overwrite, _double, _swap])
        path = folder / f"{number:03d}_{damage.__name__.strip('_')}{base.suffix}"
        path.write_bytes(damage(bytearray(base.read_bytes()), chance))
        yield path


def _flip(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice([1, 4, 32, 300])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _cut(data: bytearray, chance: random.Random) -> bytearray:
    at = chance.randrange(len(data))
    return data[at:] if chance.random() < 0.2 else data[:at]


def _overwrite(data: bytearray, chance: random.Random) -> bytearray:
    at, length = chance.randrange(len(data)), chance.choice([4, 64, 2000])
    data[at : at + length] = chance.choice([bytes(length), b"\xff" * length, chance.randbytes(length)])
    return data


def _double(data: bytearray, chance: random.Random) -> bytearray:
    a, b = sorted(chance.randrange(len(data)) for _ in range(2))
    return data[:b] + data[a:]


def _swap(data: bytearray, chance: random.Random) -> bytearray:
    a, b, c = sorted(chance.randrange(len(data)) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]
