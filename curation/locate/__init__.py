"""Where locations are: a recipe's one draw, the selection from it, its order in cubes and its record.

`sampling`, `given`, `lattice` and `era5` are the samplers, `children` what lies within cells; `places` are grids as columns,
`overlap` keeps them apart, `land` is the mask, `split` train and validation; `rows` accounts for a file's.
"""

from curation.locate.curve import curve_order, hilbert
from curation.locate.record import load, save
from curation.locate.selection import NOWHERE, draw, select

__all__ = ["NOWHERE", "curve_order", "draw", "hilbert", "load", "save", "select"]
