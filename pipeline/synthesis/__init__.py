"""Dressed, dancing, synthetic people with exact ground truth."""
