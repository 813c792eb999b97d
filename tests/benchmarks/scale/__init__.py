"""How planning, scheduling and recording grow from ten thousand patches to a million."""
