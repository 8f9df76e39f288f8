"""The only code that knows file formats: every file appears whole or not at all."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from dancedepth.models.body import COCO_KEYPOINTS
from dancedepth.models.geometry import Camera
from dancedepth.pipeline.errors import StorageError
from dancedepth.pipeline.image_store import ImageStore
from dancedepth.pipeline.ply import ply_bytes
from dancedepth.pipeline.png import encode_png
from dancedepth.pipeline.records import BodyMotion, Surface, Track, Tracks
from dancedepth.pipeline.surface import welded
from jaxtyping import Float, UInt8
from PIL import Image

DEPTH_UNITS_PER_M = 5000
"""16-bit depth, as in the TUM RGB-D data: 0.2 mm a step, 13 m at most."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it; a full disk or a missing right is one clear error."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
        part.replace(path)
    except OSError as error:
        if part.parent.is_dir():
            part.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write the file ({error.strerror})", str(path), "Free some space or choose another --out."
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON, indented; NaN is written as null."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """A JSON file's content, indented; NaN as null."""
    return json.dumps(plain(value), indent=1, allow_nan=False).encode()


def read_json(path: Path) -> Any:
    """Read JSON; a broken file is an error that names it."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read it as JSON ({error})", str(path), "Run again with --overwrite.") from error


def plain(value: Any) -> Any:
    """Arrays, paths and numbers of numpy as JSON knows them; six decimals, None for NaN."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return round(float(value), 6) if np.isfinite(value) else None
    return value


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write a compressed .npz."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of an .npz; a broken file is an error that names it."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise StorageError(f"cannot read the arrays ({error})", str(path), "Run again with --overwrite.") from error


def write_motion(path: Path, motion: BodyMotion) -> None:
    """`motion.npz` of the run folder's contract; `camera` holds focal, cx, cy, width, height in pixels."""
    camera = motion.camera
    face = {} if motion.face_moves_m is None else {"face_moves_m": motion.face_moves_m}
    write_arrays(
        path,
        **face,
        phenotype=motion.phenotype,
        height_m=np.float64(motion.height_m),
        head_scale=np.float64(motion.head_scale),
        rest_bone_poses=motion.rest_bone_poses,
        cam_from_rest=motion.cam_from_rest,
        bone_poses=motion.bone_poses,
        bone_names=np.array(motion.bone_names),
        times_s=motion.times_s,
        fitted=motion.fitted,
        camera=np.array([camera.focal_px, camera.cx, camera.cy, camera.width, camera.height], dtype=np.float64),
        reprojection_error_px=motion.reprojection_error_px,
    )


def read_motion(path: Path) -> BodyMotion:
    """The body motion that `write_motion` wrote; a file that is none is an error that names it."""
    arrays = read_arrays(path)
    try:
        focal_px, cx, cy, width, height = arrays["camera"].tolist()
        return BodyMotion(
            times_s=arrays["times_s"],
            fitted=arrays["fitted"],
            phenotype=arrays["phenotype"],
            height_m=float(arrays["height_m"]),
            head_scale=float(arrays.get("head_scale", 1.0)),  # which earlier versions did not have
            face_moves_m=arrays.get("face_moves_m"),
            rest_bone_poses=arrays["rest_bone_poses"],
            cam_from_rest=arrays["cam_from_rest"],
            bone_names=tuple(arrays["bone_names"].tolist()),
            camera=Camera(focal_px, cx, cy, int(width), int(height)),
            reprojection_error_px=arrays["reprojection_error_px"],
        )
    except (KeyError, ValueError) as error:
        raise StorageError(f"this is no body motion ({error})", str(path), "Run again with --overwrite.") from error


def write_tracks(path: Path, tracks: Tracks) -> None:
    """`tracks.json` of the run folder: the dancer's box and keypoints in each frame, null where not found."""
    others = [person for person in tracks.people if person is not tracks.dancer]
    frames = [
        {
            "index": index,
            "time_s": tracks.times_s[index],
            "sharpness": tracks.sharpness[index],
            "camera_shift": tracks.camera_shift[index],
            **_sighting(tracks.dancer, index),
            "others": [{"id": p.track_id, **_sighting(p, index)} for p in others if p.found[index]],
        }
        for index in range(len(tracks.times_s))
    ]
    people = [person.track_id for person in tracks.people]
    head = {"person": tracks.dancer.track_id, "people": people, "frame_size": list(tracks.frame_size)}
    write_json(path, {**head, "keypoint_names": COCO_KEYPOINTS, "frames": frames})


def _sighting(person: Track, index: int) -> dict[str, Any]:
    """Box (left, top, right, bottom), keypoints (x, y, confidence), score and landmarks (pixels x, y, metres x, y, z,
    visibility) of a person in a frame.
    """
    if not person.found[index]:
        return {"box": None, "keypoints": None, "score": 0.0, "landmarks": None}
    marks = np.column_stack([person.landmarks_px[index], person.landmarks_m[index], person.visibility[index]])
    keypoints = np.column_stack([person.keypoints_px[index], person.confidence[index]])
    return {
        "box": person.boxes_px[index],
        "keypoints": keypoints,
        "score": person.score[index],
        "landmarks": None if np.isnan(marks).any() else marks,
    }


def read_tracks(path: Path) -> Tracks:
    """The tracks that `write_tracks` wrote; a file that holds none is an error that names it."""
    value = read_json(path)
    try:
        frames, dancer, ids = value["frames"], value["person"], value["people"]
        sightings: dict[int, dict[int, Any]] = {number: {} for number in ids}
        for index, frame in enumerate(frames):
            for seen in [{**frame, "id": dancer}, *frame["others"]]:
                if seen["box"] is not None:
                    sightings[seen["id"]][index] = seen
        return Tracks(
            times_s=np.array([frame["time_s"] for frame in frames], dtype=np.float64),
            sharpness=np.array([frame["sharpness"] for frame in frames], dtype=np.float64),
            camera_shift=np.array([frame["camera_shift"] for frame in frames], dtype=np.float64),
            people=tuple(_track(number, sightings[number], len(frames)) for number in ids),
            person=ids.index(dancer),
            frame_size=(int(value["frame_size"][0]), int(value["frame_size"][1])),
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise StorageError(f"this holds no tracks ({error!r})", str(path), "Run again with --overwrite.") from error


def _track(number: int, sightings: dict[int, Any], count: int) -> Track:
    track = Track.unseen(number, count)
    for index, seen in sightings.items():
        keypoints = np.array(seen["keypoints"], dtype=np.float64)
        track.boxes_px[index] = seen["box"]
        track.keypoints_px[index], track.confidence[index] = keypoints[:, :2], keypoints[:, 2]
        track.score[index] = seen["score"]
        if seen.get("landmarks") is not None:
            marks = np.array(seen["landmarks"], dtype=np.float64)
            track.landmarks_px[index], track.landmarks_m[index] = marks[:, :2], marks[:, 2:5]
            track.visibility[index] = marks[:, 5]
    return track


SURFACE_FIELDS = ("vertices", "faces", "normals", "colors", "observed", "skin_weights", "skin_bones")
TEXTURE_FIELDS = ("uv", "texture", "normal_map")
"""In `surface.npz` only if the surface has them."""


def write_surface(path: Path, surface: Surface) -> None:
    """`surface.npz`: everything of the surface, in the body's axes."""
    fields = [name for name in SURFACE_FIELDS + TEXTURE_FIELDS if getattr(surface, name) is not None]
    skirt = {} if surface.skirt_m is None else {"skirt_m": np.array(surface.skirt_m)}
    write_arrays(path, **{name: getattr(surface, name) for name in fields}, **skirt)


def read_surface(path: Path) -> Surface:
    """The surface that `write_surface` wrote; a file that is none is an error that names it."""
    arrays = read_arrays(path)
    missing = [name for name in SURFACE_FIELDS if name not in arrays]
    if missing:
        raise StorageError(f"this holds no surface (no {missing[0]})", str(path), "Run again with --overwrite.")
    skirt_m = float(arrays["skirt_m"]) if "skirt_m" in arrays else None
    return Surface(
        **{name: arrays[name] for name in SURFACE_FIELDS + TEXTURE_FIELDS if name in arrays}, skirt_m=skirt_m
    )


def gltf_axes(vectors: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
    """From the body's axes (x left, y back, z up) to glTF's (x left, y up, z front)."""
    return np.stack((vectors[:, 0], vectors[:, 2], -vectors[:, 1]), axis=1)


def write_mesh_ply(path: Path, surface: Surface) -> None:
    """Binary PLY in glTF's axes, metres, with normals, colours and the float property `observed`; without a texture's
    seams, so that it is closed.
    """
    surface = welded(surface)
    vertices, normals = gltf_axes(surface.vertices), gltf_axes(surface.normals)
    write_bytes(path, ply_bytes(vertices, normals, surface.colors, {"observed": surface.observed}, surface.faces))


def write_depth(path: Path, depth_m: Float[np.ndarray, "h w"], store: ImageStore | None = None) -> None:
    """16-bit PNG, `DEPTH_UNITS_PER_M` units a metre; here as below, kept in the store too, if there is one."""
    units = np.clip(np.rint(depth_m * DEPTH_UNITS_PER_M), 0, 65535).astype(np.uint16)
    _write_png(path, units, store)


def read_depth(path: Path, every: int = 1, store: ImageStore | None = None) -> Float[np.ndarray, "h w"]:
    """Metres; with `every`, only each so-manieth pixel of each so-manieth row; from the store, if it has the image."""
    return _read_image(path, store)[::every, ::every].astype(np.float32) / DEPTH_UNITS_PER_M


NO_NORMAL = (128, 128, 128)
"""What a vector of length 0 would be written as, and no unit vector is."""


def write_normals(path: Path, normals: Float[np.ndarray, "h w 3"], store: ImageStore | None = None) -> None:
    """8-bit RGB PNG of n * 0.5 + 0.5; black where there is no normal."""
    encoded = cv2.convertScaleAbs(normals, alpha=127.5, beta=127.5)
    some = cv2.bitwise_not(cv2.inRange(encoded, NO_NORMAL, NO_NORMAL))
    _write_png(path, cv2.copyTo(encoded, some), store)  # twenty times faster than numpy's masks


def read_normals(path: Path, store: ImageStore | None = None) -> Float[np.ndarray, "h w 3"]:
    """Unit normals; zeros where there is none."""
    encoded = _read_image(path, store)
    some = cv2.inRange(encoded, (0, 0, 0), (0, 0, 0)) == 0
    decoded = encoded[some].astype(np.float32) / np.float32(127.5) - 1
    length = np.sqrt(np.einsum("pc,pc->p", decoded, decoded))  # twice as fast as numpy's norm
    normals = np.zeros(encoded.shape, np.float32)
    normals[some] = decoded / np.maximum(length, 1e-6)[:, None]
    return normals


def write_mask(path: Path, alpha: UInt8[np.ndarray, "h w"], store: ImageStore | None = None) -> None:
    """8-bit PNG."""
    _write_png(path, alpha, store)


def read_mask(path: Path, store: ImageStore | None = None) -> UInt8[np.ndarray, "h w"]:
    """0-255."""
    return _read_image(path, store)


def read_picture(path: Path, every: int = 1, store: ImageStore | None = None) -> UInt8[np.ndarray, "h w *c"]:
    """An 8-bit PNG as it is stored; `every` as above."""
    return _read_image(path, store)[::every, ::every]


def write_image(path: Path, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
    """8-bit RGB PNG."""
    _write_png(path, rgb)


def _write_png(path: Path, pixels: np.ndarray, store: ImageStore | None = None) -> None:
    write_bytes(path, encode_png(pixels))
    if store is not None:
        store.keep(path, pixels)


def _read_image(path: Path, store: ImageStore | None = None) -> np.ndarray:
    pixels = None if store is None else store.find(path)
    if pixels is None:
        pixels = _decoded(path)
        if store is not None:
            store.keep(path, pixels)
    return pixels


def _decoded(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except OSError as error:
        raise StorageError(f"cannot read the image ({error})", str(path), "Run again with --overwrite.") from error
