"""Captions of samples: what is told of them, from stored facts alone, and whether a text tells anything else."""
