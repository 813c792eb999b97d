"""Which scenes there are: one search per search cell, source and season, of a STAC API or a snapshot of its items."""
