"""MakeHuman assets from a folder: garments, shoes, hair and skins, bound to the base mesh by their `.mhclo` files.

Layout: `clothes/NAME/NAME.mhclo`, `hair/NAME/NAME.mhclo`, each with its `.obj` and `diffuse` picture; `skins/*.jpg`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from dancedepth.pipeline.errors import StorageError, UsageError
from dancedepth.pipeline.synthesis.materials import Material, Textured
from dancedepth.pipeline.synthesis.mesh import FAR_M, Mesh
from dancedepth.pipeline.synthesis.mhclo import Binding, bind, read_binding, read_obj
from jaxtyping import Float, Int
from torch import Generator, Tensor

GREY = 0.25
"""Linear colour of an asset without a diffuse picture."""


@dataclass(frozen=True)
class Asset:
    """One garment, pair of shoes, or hairdo."""

    name: str
    binding: Binding
    faces: Int[Tensor, "f 3"]
    corner_uv: Float[Tensor, "f 3 2"]
    material: Material
    replaces: frozenset[str]
    """Kinds of procedural clothes that it takes the place of: `top`, `lower`, `shoes`, `hair`."""

    @property
    def hides(self) -> Int[Tensor, "h"]:
        """Base vertices under the asset."""
        return self.binding.hides


class Wardrobe:
    """A folder of assets; nothing is read before it is worn."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UsageError("there is no such folder", str(root), "Name a folder with clothes/, hair/ and skins/.")
        self._files = {p.stem: p for kind in ("clothes", "hair") for p in sorted((root / kind).glob("*/*.mhclo"))}
        self._skins = {p.stem: p for p in sorted((root / "skins").glob("*.jpg"))}
        if not self._files and not self._skins:
            raise UsageError("the folder holds no MakeHuman assets", str(root), "It needs clothes/, hair/ or skins/.")

    @property
    def names(self) -> tuple[str, ...]:
        """Everything there is to wear."""
        return (*self._files, *self._skins)

    def draw(self, generator: Generator, names: tuple[str, ...] = ()) -> tuple[Asset, ...]:
        """The named assets, or one suit, one pair of shoes and one hairdo by chance."""
        unknown = [name for name in names if name not in self._files and name not in self._skins]
        if unknown:
            raise UsageError(
                f"there is no asset named {unknown[0]!r}", "--garment", f"There is: {', '.join(self.names)}."
            )
        chosen = [name for name in names if name in self._files]
        if not names:
            kinds: dict[frozenset[str], list[str]] = {}
            for name, path in self._files.items():
                kinds.setdefault(_replaces(path), []).append(name)
            kinds.pop(frozenset(), None)
            chosen = [
                options[int(torch.randint(len(options), (1,), generator=generator))] for options in kinds.values()
            ]
        return tuple(load_asset(self._files[name]) for name in chosen)

    def skin(self, generator: Generator, names: tuple[str, ...] = ()) -> Material | None:
        """The named skin, or one by chance; None where the folder has none."""
        chosen = [name for name in names if name in self._skins] or list(self._skins)
        if not chosen:
            return None
        name = chosen[int(torch.randint(len(chosen), (1,), generator=generator))]
        return Textured(load_texture(self._skins[name])[..., :3], gloss=0.15)


def fit_asset(
    asset: Asset, base: Float[Tensor, "v 3"], template: Float[Tensor, "v 3"], weights: Float[Tensor, "v j"]
) -> Mesh:
    """The asset on a body whose base vertices are `base` (metres, Anny's axes)."""
    binding = asset.binding
    shares = binding.shares.to(base)
    bound = weights[binding.corners].clamp_min(0) * shares.abs()[..., None]
    skinning = bound.sum(dim=1)
    skinning = skinning / skinning.sum(dim=1, keepdim=True).clamp_min(1e-6)
    far = torch.full_like(shares[:, 0], FAR_M)
    return Mesh(bind(binding, base), bind(binding, template), skinning, far, 0 * far, asset.faces)


def load_asset(path: Path) -> Asset:
    """Read one `.mhclo` with its mesh and texture."""
    binding = read_binding(path)
    faces, corner_uv = read_obj(path.with_suffix(".obj"))
    if int(faces.max()) >= len(binding.corners):
        raise StorageError(
            "its mesh has more vertices than its binding", str(path), "Take the asset out of the folder."
        )
    pictures = sorted(path.parent.glob("diffuse.*"))
    is_hair = path.parent.parent.name == "hair"
    texture = load_texture(pictures[0]) if pictures else torch.full((4, 4, 3), GREY)
    if not is_hair:
        texture = texture[..., :3]
    return Asset(
        path.stem, binding, faces, corner_uv, Textured(texture, gloss=0.15 if is_hair else 0.06), _replaces(path)
    )


def load_texture(path: Path) -> Float[Tensor, "h w c"]:
    """A picture in linear light; a fourth channel is opacity."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode = "RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB"
            pixels = torch.from_numpy(np.asarray(image.convert(mode)).astype(np.float32) / 255)
    except OSError as error:
        raise StorageError(f"cannot read the picture ({error})", str(path), "Take it out of the folder.") from error
    return torch.cat((pixels[..., :3] ** 2.2, pixels[..., 3:]), dim=2)


def _replaces(path: Path) -> frozenset[str]:
    """What an asset stands for; MakeHuman names its suits, shoes and hats so."""
    if path.parent.parent.name == "hair":
        return frozenset({"hair"})
    if "shoe" in path.stem or "boot" in path.stem:
        return frozenset({"shoes"})
    if "suit" in path.stem or "dress" in path.stem:
        return frozenset({"top", "lower"})
    return frozenset()
