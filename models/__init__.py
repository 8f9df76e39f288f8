"""Tensors in, tensors out: camera geometry, the body, the networks and their weights."""
