"""Slabs: scenes in, pixels and facts out."""
