"""USD packages: the surface, skinned and animated with UsdSkel or in one pose; needs the `usd` extra."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from dancedepth.pipeline import storage
from dancedepth.pipeline.errors import StorageError, UsageError
from dancedepth.pipeline.export.glb import linear_colors, skin_shares
from dancedepth.pipeline.records import Rig, Surface
from dancedepth.pipeline.skeleton import SkeletonMotion
from dancedepth.pipeline.surface import vertex_normals
from jaxtyping import Float

CODES_PER_S = 24
"""USD's time codes a second; samples lie between whole codes where the clip's frames do."""
TEXTURE, NORMAL_MAP = "dancer.png", "dancer_normals.png"


def write_usdz(path: Path, surface: Surface, vertices: Float[np.ndarray, "v 3"], rig: Rig | None = None) -> None:
    """Write the surface with its vertices at these places (y up, metres); with a rig, skinned to it and animated.

    Raises:
        UsageError: the usd-core package is not installed.
        StorageError: USD cannot write the file.
    """
    try:
        from pxr import Gf, Usd, UsdGeom, UsdUtils
    except ImportError as error:
        raise UsageError("USD needs the usd-core package", "--to usdz", "pip install 'dancedepth[usd]'") from error
    with tempfile.TemporaryDirectory() as scratch:
        stage = Usd.Stage.CreateNew(str(Path(scratch) / "dancer.usdc"))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        mesh = _mesh(stage, surface, vertices, Path(scratch))
        if rig is not None:
            _skin(stage, mesh, surface, rig)
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        mesh.CreateExtentAttr([Gf.Vec3f(*low.tolist()), Gf.Vec3f(*high.tolist())])
        stage.SetDefaultPrim(stage.GetPrimAtPath("/dancer"))
        stage.GetRootLayer().Save()
        packed = Path(scratch) / "dancer.usdz"
        if not UsdUtils.CreateNewUsdzPackage(str(Path(scratch) / "dancer.usdc"), str(packed)):
            raise StorageError("USD could not write the package", str(path), "Try another format")
        storage.write_bytes(path, packed.read_bytes())


def _mesh(stage: Any, surface: Surface, vertices: Float[np.ndarray, "v 3"], folder: Path) -> Any:
    from pxr import Sdf, UsdGeom, UsdSkel, Vt

    UsdSkel.Root.Define(stage, "/dancer")
    mesh = UsdGeom.Mesh.Define(stage, "/dancer/surface")
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(vertices.astype(np.float32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(surface.faces.astype(np.int32).ravel()))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(surface.faces), 3, np.int32)))
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(vertex_normals(vertices, surface.faces)))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    primvars, vertex = UsdGeom.PrimvarsAPI(mesh), UsdGeom.Tokens.vertex
    colors = (linear_colors(surface.colors)[:, :3] / 65535).astype(np.float32)
    primvars.CreatePrimvar("displayColor", Sdf.ValueTypeNames.Color3fArray, vertex).Set(Vt.Vec3fArray.FromNumpy(colors))
    primvars.CreatePrimvar("observed", Sdf.ValueTypeNames.FloatArray, vertex).Set(
        Vt.FloatArray.FromNumpy(surface.observed.astype(np.float32))
    )
    if surface.uv is not None and surface.texture is not None:
        uv = primvars.CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, vertex)
        uv.Set(Vt.Vec2fArray.FromNumpy(surface.uv.astype(np.float32)))
        storage.write_image(folder / TEXTURE, surface.texture)
        if surface.normal_map is not None:
            storage.write_image(folder / NORMAL_MAP, surface.normal_map)
    _paint(stage, mesh, surface)
    return mesh


def _paint(stage: Any, mesh: Any, surface: Surface) -> None:
    """A matt material that shows the texture and the normal map, or the vertex colours."""
    from pxr import Gf, Sdf, UsdShade

    material = UsdShade.Material.Define(stage, "/dancer/material")
    shader = UsdShade.Shader.Define(stage, "/dancer/material/surface")
    shader.CreateIdAttr("UsdPreviewSurface")
    shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(0.9)
    reader = UsdShade.Shader.Define(stage, "/dancer/material/reader")

    def picture(name: str, file: str, space: str) -> Any:
        node = UsdShade.Shader.Define(stage, f"/dancer/material/{name}")
        node.CreateIdAttr("UsdUVTexture")
        node.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(file)
        node.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set(space)
        node.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(reader.ConnectableAPI(), "result")
        node.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
        return node

    color, output = reader, "result"
    if surface.texture is not None:
        reader.CreateIdAttr("UsdPrimvarReader_float2")
        reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
        reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
        color, output = picture("texture", TEXTURE, "sRGB"), "rgb"
    else:
        reader.CreateIdAttr("UsdPrimvarReader_float3")
        reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("displayColor")
        reader.CreateOutput("result", Sdf.ValueTypeNames.Float3)
    shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(color.ConnectableAPI(), output)
    if surface.normal_map is not None:
        relief = picture("normals", NORMAL_MAP, "raw")
        relief.CreateInput("scale", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(2, 2, 2, 1))
        relief.CreateInput("bias", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(-1, -1, -1, 0))
        shader.CreateInput("normal", Sdf.ValueTypeNames.Normal3f).ConnectToSource(relief.ConnectableAPI(), "rgb")
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)


def _skin(stage: Any, mesh: Any, surface: Surface, rig: Rig) -> None:
    from pxr import Gf, UsdSkel, Vt

    paths = joint_paths(rig)
    bind = SkeletonMotion.from_bones(rig.rest_bones[None], rig.bone_parents)
    above = [np.eye(4), *(np.linalg.inv(rig.rest_bones[parent]) for parent in rig.bone_parents[1:])]
    rest = [up @ pose for up, pose in zip(above, rig.rest_bones, strict=True)]
    skeleton = UsdSkel.Skeleton.Define(stage, "/dancer/skeleton")
    skeleton.CreateJointsAttr(paths)
    skeleton.CreateBindTransformsAttr([Gf.Matrix4d(pose.T.tolist()) for pose in rig.rest_bones])
    skeleton.CreateRestTransformsAttr([Gf.Matrix4d(pose.T.tolist()) for pose in rest])
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().AddTarget(skeleton.GetPath())
    bones, shares = skin_shares(surface.skin_bones, surface.skin_weights)
    width = bones.shape[1]
    binding.CreateJointIndicesPrimvar(False, width).Set(Vt.IntArray.FromNumpy(bones.astype(np.int32).ravel()))
    weights = (shares / 65535).astype(np.float32)
    binding.CreateJointWeightsPrimvar(False, width).Set(Vt.FloatArray.FromNumpy(weights.ravel()))
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1.0))
    animation = UsdSkel.Animation.Define(stage, "/dancer/dance")
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().AddTarget(animation.GetPath())
    animation.CreateJointsAttr(paths)
    animation.CreateScalesAttr(Vt.Vec3hArray([Gf.Vec3h(1, 1, 1)] * len(paths)))
    turns, places = animation.CreateRotationsAttr(), animation.CreateTranslationsAttr()
    offsets = bind.offsets.astype(np.float32)
    for time_s, turn, root in zip(rig.times_s - rig.times_s[0], rig.turns, rig.root, strict=True):
        offsets[0] = root
        turns.Set(Vt.QuatfArray([Gf.Quatf(w, x, y, z) for x, y, z, w in turn.tolist()]), time_s * CODES_PER_S)
        places.Set(Vt.Vec3fArray.FromNumpy(offsets.copy()), time_s * CODES_PER_S)
    stage.SetTimeCodesPerSecond(CODES_PER_S)
    stage.SetFramesPerSecond(CODES_PER_S)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(float(rig.times_s[-1] - rig.times_s[0]) * CODES_PER_S)


def joint_paths(rig: Rig) -> list[str]:
    """Each bone's path from the root, in names that USD takes."""
    paths: list[str] = []
    for name, parent in zip(rig.bone_names, rig.bone_parents, strict=True):
        plain = re.sub(r"\W", "_", name)
        paths.append(plain if parent < 0 else f"{paths[parent]}/{plain}")
    return paths
