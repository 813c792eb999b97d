"""Cubes to shards."""
