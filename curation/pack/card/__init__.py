"""Cards of a release, each made of its index, tables and recipe. `card.py` writes them and says which there are."""
