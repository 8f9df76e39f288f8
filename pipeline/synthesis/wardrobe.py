"""MakeHuman assets from a folder: garments, shoes, hair and skins, bound to the base mesh by their `.mhclo` files.

Layout: `clothes/NAME/NAME.mhclo`, `hair/NAME/NAME.mhclo`, each with its `.obj` and `diffuse` picture; `skins/*.jpg`.
Binding: a garment vertex is a weighted mean of three base vertices plus an offset in MakeHuman's axes (decimetres,
y up, z forward), scaled by how far apart two named base vertices are on this body.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from dancedepth.pipeline.errors import StorageError, UsageError
from dancedepth.pipeline.synthesis.materials import Material, Textured
from dancedepth.pipeline.synthesis.mesh import FAR_M, Mesh
from jaxtyping import Float, Int
from torch import Generator, Tensor

BASE_VERTICES = 19158
GREY = 0.25
"""Linear colour of an asset without a diffuse picture."""


@dataclass(frozen=True)
class Binding:
    """How a garment follows the base mesh; rows are garment vertices."""

    corners: Int[Tensor, "g 3"]
    shares: Float[Tensor, "g 3"]
    offsets: Float[Tensor, "g 3"]
    """MakeHuman axes."""
    scale_from: Int[Tensor, "3 2"]
    """Base vertices whose distance along x, y, z scales the offsets."""
    scale_over: Float[Tensor, "3"]
    """Those distances on MakeHuman's own base, decimetres."""
    hides: Int[Tensor, "h"]
    """Base vertices that the garment covers."""


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


def bind(binding: Binding, base: Float[Tensor, "v 3"]) -> Float[Tensor, "g 3"]:
    """Garment vertices of a body with the given base vertices."""
    spans = (base[binding.scale_from[:, 0]] - base[binding.scale_from[:, 1]]).abs() * 10
    span = torch.stack((spans[0, 0], spans[1, 2], spans[2, 1]))  # MakeHuman's y is Anny's z, its z Anny's -y
    offsets = binding.offsets.to(base) * span / binding.scale_over.to(base)
    turned = torch.stack((offsets[:, 0], -offsets[:, 2], offsets[:, 1]), dim=1) / 10
    return (base[binding.corners] * binding.shares.to(base)[..., None]).sum(dim=1) + turned


def load_asset(path: Path) -> Asset:
    """Read one `.mhclo` with its mesh and texture."""
    binding = read_binding(path)
    faces, corner_uv = _read_obj(path.with_suffix(".obj"))
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


def read_binding(path: Path) -> Binding:
    """The geometry lines of a `.mhclo` file."""
    try:
        return _binding(path.read_text(encoding="utf-8", errors="replace").splitlines())
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise StorageError(
            f"this is no MakeHuman binding ({error})", str(path), "Take it out of the folder."
        ) from error


def _binding(lines: list[str]) -> Binding:
    rows: list[list[float]] = []
    scales: dict[str, tuple[int, int, float]] = {}
    hides: list[str] = []
    section = ""
    for words in (line.split() for line in lines):
        if not words or words[0].startswith("#"):
            continue
        if words[0] in ("x_scale", "y_scale", "z_scale"):
            scales[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
        elif words[0] in ("verts", "delete_verts"):
            section = words[0]
        elif section == "verts" and words[0].isdigit():
            rows.append([float(word) for word in words])
        elif section and words[0].isdigit():
            hides += words
    return _bound(rows, scales, hides)


def _bound(rows: list[list[float]], scales: dict[str, tuple[int, int, float]], hides: list[str]) -> Binding:
    full = [row if len(row) >= 9 else [row[0]] * 3 + [1.0, 0, 0, 0, 0, 0] for row in rows]
    table = torch.tensor(full)
    corners = table[:, :3].long()
    if len(corners) == 0 or int(corners.max()) >= BASE_VERTICES:
        raise ValueError("no vertices, or vertices that the base mesh does not have")
    ordered = [scales[axis] for axis in "xyz"]
    return Binding(
        corners=corners,
        shares=table[:, 3:6],
        offsets=table[:, 6:9],
        scale_from=torch.tensor([[a, b] for a, b, _ in ordered]),
        scale_over=torch.tensor([d for _, _, d in ordered]),
        hides=torch.tensor(_ranges(hides), dtype=torch.long),
    )


def _ranges(words: list[str]) -> list[int]:
    """`3 5 - 7` is 3, 5, 6, 7."""
    out: list[int] = []
    open_range = False
    for word in words:
        if word == "-":
            open_range = True
        elif open_range:
            out.extend(range(out[-1] + 1, int(word) + 1))
            open_range = False
        else:
            out.append(int(word))
    return out


def _read_obj(path: Path) -> tuple[Int[Tensor, "f 3"], Float[Tensor, "f 3 2"]]:
    """Triangles and their corners' texture coordinates."""
    uvs, faces, corners = [[0.0, 0.0]], [], []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["vt"]:
            uvs.append([float(words[1]), float(words[2])])
        elif words[:1] == ["f"]:
            split = [(word + "//").split("/")[:2] for word in words[1:]]
            points = [(int(v) - 1, int(t or 0)) for v, t in split]
            for k in range(1, len(points) - 1):
                triangle = (points[0], points[k], points[k + 1])
                faces.append([v for v, _ in triangle])
                corners.append([t for _, t in triangle])
    if not faces:
        raise StorageError("the mesh has no faces", str(path), "Take the asset out of the folder.")
    return torch.tensor(faces), torch.tensor(uvs)[torch.tensor(corners)]


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
