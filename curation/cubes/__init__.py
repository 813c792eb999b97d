"""Zarr cubes: what is measured of patches, and the ledgers that tell."""
