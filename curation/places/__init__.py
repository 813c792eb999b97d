"""Where locations are: a recipe's one draw, the selection from it, its order in cubes and its record."""
