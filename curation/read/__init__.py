"""Scenes to pixels on a location's grid."""
