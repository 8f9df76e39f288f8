"""The files of weights that a run needs: found or fetched before anything is started."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dancedepth.models.body import BodyModel
from dancedepth.models.body_file import load_body
from dancedepth.models.checkpoint import SHIPPED_WEIGHTS, Provenance, load_weights
from dancedepth.models.faces import MediaPipeFace
from dancedepth.models.hands import MediaPipeHands
from dancedepth.models.hdnet import HDNet
from dancedepth.models.landmarks import BlazePose
from dancedepth.models.matting import Matting, load_matting
from dancedepth.models.pose import PoseDetector
from dancedepth.models.weights import BODY, fetch, require_known, resolve, sha256_of
from dancedepth.pipeline.close_looks import Finders
from dancedepth.pipeline.config import RunConfig
from dancedepth.pipeline.manifest import WeightsRecord

NONE = "none"
"""Instead of a model's name: do without."""


@dataclass(frozen=True)
class Ingredients:
    """Where a run's weights lie; each is loaded by the stage that needs it, and only then."""

    pose: Path
    landmark_file: Path | None
    hand_file: Path | None
    face_file: Path | None
    segmenter: Path
    body_file: Path
    min_confidence: float
    device: str
    depth_weights: Path | None = None

    def detector(self) -> PoseDetector:
        """Finds people and their keypoints."""
        return PoseDetector(self.pose, self.device, self.min_confidence)

    def landmarks(self) -> BlazePose | None:
        """Finds a person's landmarks in depth, unless the config does without."""
        return None if self.landmark_file is None else BlazePose(self.landmark_file)

    def finders(self) -> Finders:
        """Find a person's hands and face, unless the config does without."""
        hands = None if self.hand_file is None else MediaPipeHands(self.hand_file)
        return Finders(hands, None if self.face_file is None else MediaPipeFace(self.face_file))

    def matting(self) -> Matting:
        """Cuts people out."""
        return load_matting(self.segmenter, self.device)

    def body(self) -> BodyModel:
        """The parametric body."""
        return load_body(self.body_file.parent, self.device)

    def depth_networks(self) -> HDNet:
        """Depth and normals; only where the config asks for them."""
        assert self.depth_weights is not None
        return load_weights(self.depth_weights, self.device)[0]

    def depth_provenance(self, then: str) -> Provenance:
        """How the depth networks were made, and what was done to them since, in words."""
        assert self.depth_weights is not None
        made = load_weights(self.depth_weights)[1]
        return replace(made, data=f"{made.data}; then {then}")

    def records(self) -> tuple[WeightsRecord, ...]:
        """Names and hashes for the manifest."""
        files = (
            ("tracks", self.pose),
            ("tracks", self.landmark_file),
            ("mattes", self.segmenter),
            ("body_motion", self.hand_file),
            ("body_motion", self.face_file),
            ("body_motion", self.body_file),
            ("depths", self.depth_weights),
        )
        return tuple(WeightsRecord(stage, file.name, sha256_of(file)) for stage, file in files if file is not None)


def find_ingredients(config: RunConfig, device: str, trust: bool = False) -> Ingredients:
    """Look up every model by its name or path, and fetch what is not there yet.

    Raises:
        UntrustedError: a file that can run code has an unknown hash, and `trust` was not given.
        UnknownModelError: there is no model of that name, and no such file.
        WeightsError: it is not to be had.
    """
    pose, segmenter = resolve(config.tracks.pose_model), resolve(config.mattes.segmenter)
    if not trust:
        require_known(pose)
        require_known(segmenter)
    landmarks, hands, face = (
        None if name == NONE else resolve(name)
        for name in (config.tracks.landmark_model, config.body_motion.hand_model, config.body_motion.face_model)
    )
    sure = config.tracks.min_confidence
    found = Ingredients(pose, landmarks, hands, face, segmenter, fetch(BODY), sure, device, _depth_weights(config))
    found.finders()  # once, so that a wrong file is told before anything starts
    return found


def _depth_weights(config: RunConfig) -> Path | None:
    """The named file, read once so that a wrong one is told before anything starts; else the package's own."""
    if config.depths.model == "body":
        return None
    path = Path(config.depths.weights or SHIPPED_WEIGHTS)
    load_weights(path)
    return path
