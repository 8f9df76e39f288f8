"""Binary glTF: the dancer skinned to the skeleton and animated over the clip, with the clip's camera."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pygltflib as gltf
from dancedepth.pipeline.records import Rig, Surface
from dancedepth.pipeline.rig import moving_bones, rest_surface
from dancedepth.pipeline.skeleton import SkeletonMotion
from dancedepth.pipeline.storage import write_bytes
from dancedepth.pipeline.surface import seamless_normals
from dancedepth.pipeline.tangents import tangents
from jaxtyping import Float, Int, UInt8
from PIL import Image
from scipy.spatial.transform import Rotation

CV_FROM_GLTF_CAMERA = np.diag([1.0, -1.0, -1.0, 1.0])
"""glTF's cameras look along -z with y up."""
NEAR_M, FAR_M = 0.05, 100.0
JPEG_QUALITY = 92
HALF_COLOR, FULL_COLOR = "4:2:0", "4:4:4"
"""JPEG's resolution of hue: eyes do not see it as sharply as light, but normals are all of it."""


def write_dancer_glb(path: Path, surface: Surface, rig: Rig) -> None:
    """Write the skinned, animated surface; y up, metres, standing on y = 0, facing +z at rest.

    Joints are bones with their y axis along them, as Blender likes it; only bones that move have animation channels.
    Colours are a texture if the surface has one, else vertex colours; folds and features a normal map with the tangents
    that it was made for. `_OBSERVED` says how much of the surface was seen.
    """
    file = GlbFile("dancer")
    bones = len(rig.bone_names)
    mesh = file.add_mesh(surface, rest_surface(surface, rig), rig)
    joints = list(range(bones))
    _add_joints(file, rig)
    file.document.skins.append(
        gltf.Skin(name="skeleton", joints=joints, skeleton=0, inverseBindMatrices=_inverse_binds(file, rig))
    )
    body = file.add_node(gltf.Node(name="surface", mesh=mesh, skin=0))
    dancer = file.add_node(gltf.Node(name="dancer", children=[0]))
    file.document.scenes[0].nodes = [dancer, body, _add_camera(file, rig)]
    file.document.animations.append(_animation(file, rig))
    write_bytes(path, file.data())


def write_mesh_glb(path: Path, surface: Surface, vertices: Float[np.ndarray, "v 3"]) -> None:
    """Write the surface with its vertices at these places (y up), without a skeleton."""
    file = GlbFile("mesh")
    mesh = file.add_mesh(surface, vertices)
    file.document.scenes[0].nodes = [file.add_node(gltf.Node(name="surface", mesh=mesh))]
    write_bytes(path, file.data())


class GlbFile:
    """A glTF document and its one buffer, while they grow."""

    def __init__(self, name: str) -> None:
        self.document = gltf.GLTF2(
            asset=gltf.Asset(version="2.0", generator="dancedepth"), scene=0, scenes=[gltf.Scene(name=name)]
        )
        self._chunks: list[bytes] = []
        self._size = 0

    def add_node(self, node: gltf.Node) -> int:
        """The node's index."""
        self.document.nodes.append(node)
        return len(self.document.nodes) - 1

    def add_array(self, values: np.ndarray, kind: str, target: int | None = None, normalized: bool = False) -> int:
        """An accessor over an array of float32, uint8, uint16 or uint32; the vertex is a row."""
        component = {"f4": gltf.FLOAT, "u1": gltf.UNSIGNED_BYTE, "u2": gltf.UNSIGNED_SHORT, "u4": gltf.UNSIGNED_INT}
        rows = values.reshape(len(values), -1)
        accessor = gltf.Accessor(
            bufferView=self._add_view(np.ascontiguousarray(values).tobytes(), target),
            componentType=component[values.dtype.str[1:]],
            count=len(values),
            type=kind,
            normalized=normalized,
            min=rows.min(axis=0).tolist() if kind != gltf.MAT4 else None,
            max=rows.max(axis=0).tolist() if kind != gltf.MAT4 else None,
        )
        self.document.accessors.append(accessor)
        return len(self.document.accessors) - 1

    def add_mesh(self, surface: Surface, vertices: Float[np.ndarray, "v 3"], rig: Rig | None = None) -> int:
        """The surface's mesh, with skin weights if there is a rig."""
        normals = seamless_normals(vertices, surface.faces, surface.vertices)
        vertex = gltf.ARRAY_BUFFER
        attributes = gltf.Attributes(
            POSITION=self.add_array(vertices.astype(np.float32), gltf.VEC3, vertex),
            NORMAL=self.add_array(normals, gltf.VEC3, vertex),
        )
        if surface.uv is not None and surface.texture is not None:
            flipped = np.stack((surface.uv[:, 0], 1 - surface.uv[:, 1]), axis=1)
            attributes.TEXCOORD_0 = self.add_array(flipped.astype(np.float32), gltf.VEC2, vertex)
            if surface.normal_map is not None:
                along = tangents(vertices, surface.faces, normals, surface.uv)
                attributes.TANGENT = self.add_array(along, gltf.VEC4, vertex)
        else:
            attributes.COLOR_0 = self.add_array(linear_colors(surface.colors), gltf.VEC4, vertex, normalized=True)
        if rig is not None:
            bones, weights = skin_shares(surface.skin_bones, surface.skin_weights)
            attributes.JOINTS_0 = self.add_array(bones, gltf.VEC4, vertex)
            attributes.WEIGHTS_0 = self.add_array(weights, gltf.VEC4, vertex, normalized=True)
        attributes._OBSERVED = self.add_array(surface.observed.astype(np.float32), gltf.SCALAR, vertex)
        faces = self.add_array(surface.faces.astype(np.uint32).reshape(-1), gltf.SCALAR, gltf.ELEMENT_ARRAY_BUFFER)
        primitive = gltf.Primitive(attributes=attributes, indices=faces, material=self._add_material(surface))
        self.document.meshes.append(gltf.Mesh(name="surface", primitives=[primitive]))
        return len(self.document.meshes) - 1

    def data(self) -> bytes:
        """The file."""
        self.document.buffers = [gltf.Buffer(byteLength=self._size)]
        self.document.set_binary_blob(b"".join(self._chunks))
        return b"".join(self.document.save_to_bytes())

    def _add_view(self, data: bytes, target: int | None = None) -> int:
        view = gltf.BufferView(buffer=0, byteOffset=self._size, byteLength=len(data), target=target)
        padded = data + b"\0" * (-len(data) % 4)
        self._chunks.append(padded)
        self._size += len(padded)
        self.document.bufferViews.append(view)
        return len(self.document.bufferViews) - 1

    def _add_material(self, surface: Surface) -> int:
        """Matt; light is in the colours already."""
        look = gltf.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=0.9)
        material = gltf.Material(name="dancer", pbrMetallicRoughness=look)
        if surface.texture is not None:
            look.baseColorTexture = gltf.TextureInfo(index=self._add_texture("dancer", surface.texture, HALF_COLOR))
            if surface.normal_map is not None:
                index = self._add_texture("dancer_normals", surface.normal_map, FULL_COLOR)
                material.normalTexture = gltf.NormalMaterialTexture(index=index)
        self.document.materials.append(material)
        return len(self.document.materials) - 1

    def _add_texture(self, name: str, pixels: UInt8[np.ndarray, "t t 3"], subsampling: str) -> int:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=subsampling)
        if not self.document.samplers:
            self.document.samplers.append(gltf.Sampler(magFilter=gltf.LINEAR, minFilter=gltf.LINEAR_MIPMAP_LINEAR))
        view = self._add_view(buffer.getvalue())
        self.document.images.append(gltf.Image(name=name, bufferView=view, mimeType="image/jpeg"))
        self.document.textures.append(gltf.Texture(sampler=0, source=len(self.document.images) - 1))
        return len(self.document.textures) - 1


def linear_colors(colors: UInt8[np.ndarray, "v 3"]) -> np.ndarray:
    """Vertex colours as glTF wants them: linear light, with alpha; 16 bit, since 8 would band in the dark."""
    encoded = np.arange(256) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    table = np.rint(linear * 65535).astype(np.uint16)
    return np.concatenate((table[colors], np.full((len(colors), 1), 65535, np.uint16)), axis=1)


def skin_shares(
    bones: Int[np.ndarray, "v 4"], weights: Float[np.ndarray, "v 4"]
) -> tuple[UInt8[np.ndarray, "v 4"], np.ndarray]:
    """Joints and 16-bit weights that sum to exactly one; a bone is named once, and bone 0 where the weight is 0."""
    order = np.argsort(-weights, axis=1, kind="stable")
    bones, weights = np.take_along_axis(bones, order, 1), np.take_along_axis(weights, order, 1).astype(np.float64)
    for k in range(1, bones.shape[1]):
        for earlier in range(k):
            same = bones[:, k] == bones[:, earlier]
            weights[same, earlier] += weights[same, k]
            weights[same, k] = 0
    shares = np.rint(weights / weights.sum(axis=1, keepdims=True) * 65535).astype(np.int64)
    shares[:, 0] += 65535 - shares.sum(axis=1)
    return np.where(shares > 0, bones, 0).astype(np.uint8), shares.astype(np.uint16)


def _add_joints(file: GlbFile, rig: Rig) -> None:
    """One node a bone, numbered as the bones are, in the rest pose."""
    bind = SkeletonMotion.from_bones(rig.rest_bones[None], rig.bone_parents)
    quaternions = bind.quaternions()[0]
    for bone, name in enumerate(rig.bone_names):
        place = bind.root[0] if bone == 0 else bind.offsets[bone]
        node = gltf.Node(name=name, translation=place.tolist(), rotation=_unit32(quaternions[bone]).tolist())
        node.children = [child for child, parent in enumerate(rig.bone_parents) if parent == bone]
        file.add_node(node)


def _inverse_binds(file: GlbFile, rig: Rig) -> int:
    matrices = np.linalg.inv(rig.rest_bones).transpose(0, 2, 1).astype(np.float32)
    matrices[:, :, 3] = (0, 0, 0, 1)
    return file.add_array(np.ascontiguousarray(matrices), gltf.MAT4)


def _add_camera(file: GlbFile, rig: Rig) -> int:
    camera, pose = rig.camera, rig.world_from_cam @ CV_FROM_GLTF_CAMERA
    view = gltf.Perspective(
        yfov=2 * math.atan(camera.height / (2 * camera.focal_px)),
        aspectRatio=camera.width / camera.height,
        znear=NEAR_M,
        zfar=FAR_M,
    )
    file.document.cameras.append(gltf.Camera(name="clip", type="perspective", perspective=view))
    turn = _unit32(Rotation.from_matrix(pose[:3, :3]).as_quat())
    return file.add_node(gltf.Node(name="camera", camera=0, translation=pose[:3, 3].tolist(), rotation=turn.tolist()))


def _animation(file: GlbFile, rig: Rig) -> gltf.Animation:
    """The root's path and the turns of the bones that move, at the clip's own times from its first frame on."""
    clip = gltf.Animation(name="dance")
    times = file.add_array((rig.times_s - rig.times_s[0]).astype(np.float32), gltf.SCALAR)

    def add(node: int, path: str, values: np.ndarray, kind: str) -> None:
        clip.samplers.append(gltf.AnimationSampler(input=times, output=file.add_array(values, kind)))
        target = gltf.AnimationChannelTarget(node=node, path=path)
        clip.channels.append(gltf.AnimationChannel(sampler=len(clip.samplers) - 1, target=target))

    add(0, "translation", rig.root.astype(np.float32), gltf.VEC3)
    for bone in np.flatnonzero(moving_bones(rig)):
        add(int(bone), "rotation", _unit32(rig.turns[:, bone]), gltf.VEC4)
    return clip


def _unit32(quaternions: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 4"]:
    unit: np.ndarray = quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True)
    return unit.astype(np.float32)
