"""Samples as numbers: a row per sample and season, made in one of several ways, kept beside the shards that it is of."""
