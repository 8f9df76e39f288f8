"""What a person wears and looks like, drawn at random."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import torch
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.pipeline.synthesis.draws import between, chance, pick
from dancedepth.pipeline.synthesis.face import Skin
from dancedepth.pipeline.synthesis.garments import SOLE_TOP_Z, Fit, Garment, Tailor
from dancedepth.pipeline.synthesis.hair import STYLES, Style
from dancedepth.pipeline.synthesis.materials import PATTERNS, Cloth, Hair, Material, Shoe
from torch import Generator

Color = tuple[float, float, float]

SKIN_TONES: tuple[Color, ...] = (
    (0.66, 0.44, 0.34), (0.58, 0.36, 0.26), (0.46, 0.27, 0.18),
    (0.33, 0.18, 0.11), (0.20, 0.10, 0.06), (0.12, 0.06, 0.035),
)  # fmt: skip
"""Linear light, from light to dark."""
HAIR_COLORS: tuple[Color, ...] = (
    (0.012, 0.009, 0.008), (0.035, 0.018, 0.010), (0.09, 0.045, 0.02), (0.32, 0.20, 0.09), (0.16, 0.04, 0.015),
)  # fmt: skip
IRISES: tuple[Color, ...] = ((0.07, 0.03, 0.012), (0.03, 0.08, 0.14), (0.06, 0.09, 0.04), (0.03, 0.015, 0.01))
SLEEVES_M = {"tank": -0.1, "t-shirt": 0.19, "half": 0.30, "long": 0.47}
DRESSES, COATS, LOOSE_SLEEVES = 0.25, 0.2, 0.2
"""Shares of people with long wear."""
LONG_WEAR_SEED = 32452843
"""Keeps what is drawn here apart from the outfit's own draws, which begin at the same seed."""
COAT_EASE_M = 0.025
"""How much wider a coat is than what is worn under it."""
LEGS_Z = {"trousers": -0.745, "cropped": -0.62, "shorts": -0.27}


@dataclass(frozen=True)
class Outfit:
    """One draw."""

    seed: int
    skin: Skin
    iris: Color
    hair_style: Style
    hair_m: float
    hair: Hair
    sleeve: str
    neck_m: float
    vee_m: float
    tucked: bool
    leg: str
    skirt_z: float
    top_fit: Fit
    lower_fit: Fit
    materials: dict[str, Material]
    """By garment name."""
    coat_z: float | None = None
    """Its hem; None: no coat."""
    coat_open_m: float = 0.0


def draw_outfit(generator: Generator) -> Outfit:
    """A person's looks and clothes."""
    seed = int(torch.randint(2**20, (1,), generator=generator))
    tone = pick(generator, SKIN_TONES)
    lips: Color = (min(tone[0] * 0.9, 0.6), tone[1] * 0.50, tone[2] * 0.55)
    hair_color = HAIR_COLORS[0] if tone[0] < 0.4 else pick(generator, HAIR_COLORS)
    brows: Color = (hair_color[0] * 0.6, hair_color[1] * 0.6, hair_color[2] * 0.6)
    style = pick(generator, STYLES)
    stubble = between(generator, 0, 0.9) if style == "short" else 0.0
    leg = pick(generator, ("trousers", "trousers", "cropped", "shorts", "skirt"))
    sleeve = pick(generator, tuple(SLEEVES_M))
    fold = between(generator, 0.003, 0.007)
    top_fit = Fit(between(generator, 0.012, 0.020), between(generator, 0.004, 0.03), fold, seed)
    close = leg != "skirt" and sleeve == "tank"
    loose = between(generator, 0.0, 0.012 if close else 0.035)
    lower_fit = Fit(0.007, loose, 0.6 * fold, seed + 1)
    top = _cloth(generator)
    lower = _lower_cloth(generator, top, leg)
    shoe = Shoe(_color(generator), (0.72, 0.70, 0.66) if chance(generator, 0.7) else _color(generator), SOLE_TOP_Z)
    return Outfit(
        seed=seed,
        skin=Skin(tone, lips, brows, stubble),
        iris=pick(generator, IRISES),
        hair_style=style,
        hair_m=between(generator, 0.010, 0.024),
        hair=Hair(hair_color),
        sleeve=sleeve,
        neck_m=between(generator, 0.0, 0.03),
        vee_m=between(generator, 0.03, 0.08) if chance(generator, 0.3) else 0.0,
        tucked=leg == "skirt" or chance(generator, 0.2),
        leg=leg,
        skirt_z=between(generator, -0.45, -0.15),
        top_fit=top_fit,
        lower_fit=lower_fit,
        materials={"top": top, "trousers": lower, "skirt": lower, "shoes": shoe},
    )


def with_long_wear(outfit: Outfit, seed: int) -> Outfit:
    """The same, but some in dresses, some in open coats over what they wear, some in loose sleeves."""
    generator = torch.Generator().manual_seed(seed + LONG_WEAR_SEED)
    kind = between(generator, 0, 1)
    if kind < DRESSES:
        cloth = {**outfit.materials, "skirt": outfit.materials["top"]}
        return replace(outfit, leg="skirt", tucked=True, skirt_z=between(generator, -0.68, -0.1), materials=cloth)
    if kind < DRESSES + COATS:
        cloth = {**outfit.materials, "coat": _cloth(generator)}
        hem_z, open_m = between(generator, -0.65, -0.05), between(generator, 0.02, 0.1)
        return replace(outfit, tucked=True, coat_z=hem_z, coat_open_m=open_m, materials=cloth)
    if kind < DRESSES + COATS + LOOSE_SLEEVES:
        wide = Fit(outfit.top_fit.ease_m, between(generator, 0.04, 0.09), outfit.top_fit.fold_m, outfit.seed)
        return replace(outfit, sleeve=pick(generator, ("half", "long")), top_fit=wide)
    return outfit


def sew(body: BodyModel, rest: RestBody, outfit: Outfit, detail: int, without: frozenset[str]) -> list[Garment]:
    """The outfit's clothes on one body, from the inside out, leaving out the kinds named in `without`."""
    tailor = Tailor(body, rest, detail)
    garments = []
    if "shoes" not in without:
        garments.append(tailor.shoes(-0.715))
    if "lower" not in without and outfit.leg != "skirt":
        garments.append(tailor.trousers(LEGS_Z[outfit.leg], 0.17, outfit.lower_fit))
    if "top" not in without:
        hem_z = 0.15 if outfit.tucked else 0.085
        garments.append(tailor.top(SLEEVES_M[outfit.sleeve], hem_z, outfit.neck_m, outfit.vee_m, outfit.top_fit))
    if "lower" not in without and outfit.leg == "skirt":
        fit = Fit(0.022, 0.03, outfit.lower_fit.fold_m, outfit.seed + 2)
        garments.append(tailor.skirt(outfit.skirt_z, fit))
    if "top" not in without and outfit.coat_z is not None:
        fit = Fit(outfit.top_fit.ease_m + COAT_EASE_M, 0.03, outfit.top_fit.fold_m, outfit.seed + 3)
        garments += tailor.coat(outfit.coat_z, outfit.coat_open_m, fit)
    return garments


def _cloth(generator: Generator) -> Cloth:
    pattern = pick(generator, PATTERNS)
    scale = {"stripes": 0.06, "pinstripes": 0.025, "checks": 0.07, "dots": 0.05, "blotches": 0.06}.get(pattern, 0.05)
    scale *= between(generator, 0.7, 1.4)
    return Cloth(_color(generator), _color(generator), pattern, scale, chance(generator, 0.35))


def _lower_cloth(generator: Generator, top: Cloth, leg: str) -> Cloth:
    kind = between(generator, 0, 1)
    if kind < 0.35 and leg != "skirt":
        return Cloth((0.035, 0.06, 0.14), (0.10, 0.15, 0.26), "denim", 0.05, False)
    if kind < 0.55 and leg != "skirt":
        return Cloth((0.02, 0.02, 0.024), top.color, "side_stripe", 0.05, False)
    return Cloth(_color(generator), top.color, pick(generator, ("plain", "plain", "checks", "pinstripes")), 0.06, False)


def _color(generator: Generator) -> Color:
    hue, share = between(generator, 0, 1), between(generator, 0, 1)
    saturation = between(generator, 0.35, 0.85) if share < 0.7 else between(generator, 0, 0.12)
    value = between(generator, 0.15, 0.9)
    r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
    return (r**2.2 + 0.01, g**2.2 + 0.01, b**2.2 + 0.01)
