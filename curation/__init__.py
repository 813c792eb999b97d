"""Earth-observation training sets as recipes anyone can rerun.

The package follows the data: `locate` says where, `search` and `select` say which scenes, `build` reads them onto
cubes, `shards` packs cubes into WebDataset tars, `stream` hands them to torch. `pipeline` puts these in order.
"""

__version__ = "0.1.0"
