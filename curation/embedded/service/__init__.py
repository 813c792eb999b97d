"""The servers of the embedded Earth."""
