"""Proof of cubes and shards from their own bytes."""
