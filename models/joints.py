"""The joints that a body fit moves, and what human joints can do.

Anny has 104 bones; a video of a dancer says something about twenty of them. The others keep their rest pose. Angles are
rotation vectors in radians about a bone's head, in the rest pose's axes (x to the dancer's left, y to the back, z up),
seen on the left side; the right side is the mirror image. Ranges are the usual ones of goniometry, rounded, a little
wider since dancers are supple; spreads are how far a dancer usually strays from the neutral standing pose.
"""

from __future__ import annotations

from dataclasses import dataclass

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Joint:
    """One moving bone: its parent among the moving ones, and neutral pose, spread and range about its three axes."""

    bone: str
    parent: str
    neutral: Triple
    spread: Triple
    low: Triple
    high: Triple
    hinge: bool = False
    """The first axis is the one that bends the limb at this joint in the rest pose, not the body's x."""


_TRUNK = (
    Joint("root", "", (0, 0, 0), (9, 9, 9), (-9, -9, -9), (9, 9, 9)),
    Joint("spine05", "root", (0, 0, 0), (0.15, 0.12, 0.12), (-0.3, -0.3, -0.3), (0.5, 0.3, 0.3)),
    Joint("spine03", "spine05", (0, 0, 0), (0.15, 0.12, 0.15), (-0.3, -0.3, -0.4), (0.5, 0.3, 0.4)),
    Joint("spine01", "spine03", (0, 0, 0), (0.15, 0.12, 0.15), (-0.3, -0.3, -0.4), (0.5, 0.3, 0.4)),
    Joint("neck01", "spine01", (0, 0, 0), (0.2, 0.15, 0.3), (-0.5, -0.4, -0.7), (0.6, 0.4, 0.7)),
    Joint("head", "neck01", (0, 0, 0), (0.2, 0.15, 0.25), (-0.5, -0.4, -0.7), (0.6, 0.4, 0.7)),
)
_LEFT = (
    Joint("clavicle.L", "spine01", (0, 0, 0), (0.1, 0.15, 0.15), (-0.2, -0.6, -0.4), (0.2, 0.25, 0.4)),
    Joint("upperarm01.L", "clavicle.L", (0, 0.5, 0), (0.9, 0.9, 0.6), (-2.8, -2.6, -1.6), (1.1, 1.0, 1.8)),
    Joint("lowerarm01.L", "upperarm01.L", (0.1, 0, 0), (0.8, 0.2, 0.12), (-0.7, -0.6, -0.3), (1.9, 0.6, 0.3), True),
    Joint("wrist.L", "lowerarm01.L", (0, 0, 0), (0.25, 0.25, 0.25), (-0.9, -0.9, -0.9), (0.9, 0.9, 0.9)),
    Joint("upperleg01.L", "root", (0, 0.06, 0), (0.45, 0.3, 0.25), (-2.3, -1.4, -0.9), (0.8, 0.5, 0.7)),
    Joint("lowerleg01.L", "upperleg01.L", (0.1, 0, 0), (0.6, 0.06, 0.1), (-0.05, -0.15, -0.3), (2.6, 0.15, 0.3)),
    Joint("foot.L", "lowerleg01.L", (0, 0, 0), (0.3, 0.12, 0.2), (-0.6, -0.4, -0.5), (1.0, 0.4, 0.5)),
)  # fmt: skip


def _mirror(joint: Joint) -> Joint:
    """The right side's joint: reflected in x, a rotation vector keeps x and negates y and z."""

    def name(bone: str) -> str:
        return bone.replace(".L", ".R")

    def flip(angles: Triple) -> Triple:
        return (angles[0], -angles[1], -angles[2])

    low, high = flip(joint.low), flip(joint.high)
    return Joint(
        name(joint.bone),
        name(joint.parent),
        flip(joint.neutral),
        joint.spread,
        (low[0], high[1], high[2]),
        (high[0], low[1], low[2]),
        joint.hinge,
    )


FIT_JOINTS: tuple[Joint, ...] = (*_TRUNK, *_LEFT, *(_mirror(joint) for joint in _LEFT))
"""Parents stand before children."""
