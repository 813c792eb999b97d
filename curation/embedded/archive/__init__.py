"""The files of the embedded Earth."""
