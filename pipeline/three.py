"""three.js with its glTF loader, as the trimesh package ships it in its own viewer."""

from __future__ import annotations

import io
import zipfile

from dancedepth.pipeline.errors import StorageError

LOADER_END = "THREE.GLTFLoader=GLTFLoader;})();"
"""In trimesh's viewer, what follows is the viewer itself."""


def three_js() -> str:
    """The text of a script that defines THREE and THREE.GLTFLoader.

    Raises:
        StorageError: the installed trimesh ships another viewer.
    """
    from trimesh import resources

    with zipfile.ZipFile(io.BytesIO(resources.get_bytes("templates/viewer.zip"))) as files:
        page = files.read("viewer.html.template").decode()
    begin, end = page.find("<script>"), page.find(LOADER_END)
    if begin < 0 or end < 0:
        what = "the installed trimesh ships a viewer that is not known here"
        raise StorageError(what, "trimesh/resources/templates/viewer.zip", "Install trimesh 5.2.")
    return page[begin + len("<script>") : end + len(LOADER_END)]
