"""Files that other programs open: glTF, USD, BVH and meshes."""
