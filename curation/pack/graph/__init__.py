"""The graph of a finished dataset: its places, patches, cells and scenes, and what joins them. `write.py` has the steps."""
