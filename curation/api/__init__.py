"""The Python way in: what `curation.load` gives, and what its steps return. The command is a thin layer over it."""
