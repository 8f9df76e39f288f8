from pathlib import Path

import numpy as np
import pytest
import torch
from dancedepth.models.body import ADULT, SKIN_VERTICES, BodyModel
from dancedepth.pipeline.errors import StorageError, UsageError
from dancedepth.pipeline.synthesis import anatomy
from dancedepth.pipeline.synthesis.character import dress
from dancedepth.pipeline.synthesis.mhclo import bind, read_binding
from dancedepth.pipeline.synthesis.wardrobe import Wardrobe, fit_asset, load_asset
from PIL import Image

MHCLO = """# a patch
name patch
obj_file patch.obj
x_scale 5399 11998 1.4
z_scale 962 5320 1.8
y_scale 791 881 2.2
verts 0
100
100 200 300 0.5 0.25 0.25 0 0 0
100 200 300 0.5 0.25 0.25 0.1 0.2 0.3
400 400 400 1 0 0 0 0 0
delete_verts
7 9 - 12 20
"""
OBJ = """vt 0.1 0.1
vt 0.9 0.1
vt 0.9 0.9
vt 0.1 0.9
f 1/1 2/2 3/3 4/4
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind, name in (("clothes", "patch_suit"), ("hair", "wig")):
        place = tmp_path / kind / name
        place.mkdir(parents=True)
        (place / f"{name}.mhclo").write_text(MHCLO)
        (place / f"{name}.obj").write_text(OBJ)
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :, 0] = 255
    Image.fromarray(pixels).save(tmp_path / "hair/wig/diffuse.png")
    return tmp_path


def test_binding_is_weighted_corners_plus_scaled_offset(folder: Path, body: BodyModel) -> None:
    binding = read_binding(folder / "clothes/patch_suit/patch_suit.mhclo")
    base = anatomy.average_adult(body)
    points = bind(binding, base)
    mean = 0.5 * base[100] + 0.25 * base[200] + 0.25 * base[300]
    torch.testing.assert_close(points[0], base[100])
    torch.testing.assert_close(points[1], mean)
    x = 0.1 * float((base[5399] - base[11998])[0].abs()) * 10 / 1.4
    y = 0.2 * float((base[791] - base[881])[2].abs()) * 10 / 2.2
    z = 0.3 * float((base[962] - base[5320])[1].abs()) * 10 / 1.8
    torch.testing.assert_close(points[2] - mean, torch.tensor([x, -z, y]) / 10, atol=1e-6, rtol=1e-4)
    assert binding.hides.tolist() == [7, 9, 10, 11, 12, 20]


def test_an_assets_skinning_is_that_of_what_it_is_bound_to(folder: Path, body: BodyModel) -> None:
    asset = load_asset(folder / "clothes/patch_suit/patch_suit.mhclo")
    weights = anatomy.dense_weights(body)
    base = anatomy.average_adult(body)
    mesh = fit_asset(asset, base, base, weights)
    torch.testing.assert_close(mesh.weights[1], 0.5 * weights[100] + 0.25 * weights[200] + 0.25 * weights[300])
    torch.testing.assert_close(mesh.weights.sum(dim=1), torch.ones(4))
    assert asset.replaces == {"top", "lower"}


def test_transparent_texture_leaves_no_surface(folder: Path, body: BodyModel) -> None:
    rest = body.rest(torch.tensor(ADULT))
    dressed = dress(body, rest, 0, detail=1, wardrobe=Wardrobe(folder), names=("wig",))
    assert len(dressed.faces) - len(dressed.opaque_faces()) == 2
    assert dressed.description[0] == "wig"


@pytest.mark.parametrize(("names", "option"), ((("no such coat",), "--garment"), (("wig", "hatt"), "--garment")))
def test_unknown_names_are_usage_errors(folder: Path, names: tuple[str, ...], option: str) -> None:
    with pytest.raises(UsageError, match=option):
        Wardrobe(folder).draw(torch.Generator(), names)


def test_folders_without_assets_are_usage_errors(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match="folder"):
            Wardrobe(folder)


@pytest.mark.parametrize(
    "text", ("verts 0\n1 2 3 a b c\n", "x_scale 1 2 3\n", MHCLO.replace("400 400 400", "99999 1 1"))
)
def test_broken_bindings_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.mhclo"
    path.write_text(text)
    with pytest.raises(StorageError, match=r"broken\.mhclo"):
        read_binding(path)


@pytest.mark.parametrize(
    "names", (("female_sportsuit01", "shoes02", "bob01"), ("male_elegantsuit01", "shoes06", "short04"))
)
def test_real_assets_lie_on_the_body(shared: Path, body: BodyModel, names: tuple[str, ...]) -> None:
    rest = body.scaled_to_height(body.rest(torch.tensor([0.2, 0.6, 0.6, 0.6, 0.5, 0.5])), 1.6)
    wardrobe = Wardrobe(shared / "wardrobe")
    skin = rest.vertices[:SKIN_VERTICES]
    for asset in wardrobe.draw(torch.Generator(), names):
        mesh = fit_asset(asset, rest.vertices, anatomy.average_adult(body), anatomy.dense_weights(body))
        apart = torch.cdist(mesh.rest[::7], skin).amin(dim=1)
        assert float(apart.median()) < 0.03
        assert float(apart.max()) < 0.3
