"""Annotations that come along: a file each."""
