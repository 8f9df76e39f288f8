"""Legs that reach: ankles are put where the feet stand by bending hip and knee, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

STRAIGHT = 0.999
"""A leg is stretched no farther than this share of its length: at full stretch a knee flips."""


@dataclass(frozen=True)
class Leg:
    """World places of a leg's joints over the clip, and the knee's hinge axis."""

    hip: Float[np.ndarray, "n 3"]
    knee: Float[np.ndarray, "n 3"]
    ankle: Float[np.ndarray, "n 3"]
    hinge: Float[np.ndarray, "n 3"]
    """To the dancer's left; needed where the leg is straight."""


@dataclass(frozen=True)
class Turns:
    """World rotations by which thigh and shank are turned."""

    thigh: Float[np.ndarray, "n 3 3"]
    shank: Float[np.ndarray, "n 3 3"]


def reach(leg: Leg, ankle: Float[np.ndarray, "n 3"]) -> Turns:
    """Turn thigh and shank such that the ankle comes to a new place, or as near as the leg is long.

    The knee stays in the plane that it bends in, turned with the line from hip to ankle.
    """
    thigh = np.linalg.norm(leg.knee - leg.hip, axis=1, keepdims=True)
    shank = np.linalg.norm(leg.ankle - leg.knee, axis=1, keepdims=True)
    line = ankle - leg.hip
    distance = np.linalg.norm(line, axis=1, keepdims=True)
    reached = np.clip(distance, np.abs(thigh - shank) * 1.001 + 1e-4, (thigh + shank) * STRAIGHT)
    along = line / np.maximum(distance, 1e-9)
    carry = shortest_turn(leg.ankle - leg.hip, line)
    bent = (carry @ _knee_side(leg)[..., None])[..., 0]
    bent = _unit(bent - along * (bent * along).sum(axis=1, keepdims=True))
    foot_of_knee = (thigh**2 - shank**2 + reached**2) / (2 * reached)
    height = np.sqrt(np.maximum(thigh**2 - foot_of_knee**2, 0.0))
    knee = leg.hip + along * foot_of_knee + bent * height
    end = leg.hip + along * reached
    return Turns(shortest_turn(leg.knee - leg.hip, knee - leg.hip), shortest_turn(leg.ankle - leg.knee, end - knee))


def shortest_turn(start: Float[np.ndarray, "n 3"], end: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """The smallest rotation from one direction to another (Rodrigues); not for opposite ones."""
    a, b = _unit(start), _unit(end)
    axis, cosine = np.cross(a, b), (a * b).sum(axis=1)
    k = np.zeros((len(a), 3, 3))
    k[:, 0, 1], k[:, 0, 2], k[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    k = k - k.transpose(0, 2, 1)
    result: np.ndarray = np.eye(3) + k + k @ k / np.maximum(1 + cosine, 1e-6)[:, None, None]
    return result


def _knee_side(leg: Leg) -> Float[np.ndarray, "n 3"]:
    """The direction, square to the line from hip to ankle, in which the knee stands out."""
    line = _unit(leg.ankle - leg.hip)
    out = leg.knee - leg.hip
    out = out - line * (out * line).sum(axis=1, keepdims=True)
    size = np.linalg.norm(out, axis=1, keepdims=True)
    front = np.cross(line, leg.hinge)
    return np.where(size > 1e-3, out, front)


def _unit(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    result: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return result
