"""Earth-observation training sets as recipes anyone can rerun.

The package follows the data: `recipe` says what, `places` where, `scenes` which; `build` reads them onto `cubes`, `pack`
makes WebDataset tars of those, `stream` hands them to torch. `pipeline` puts these in order.
"""

__version__ = "0.1.0"
