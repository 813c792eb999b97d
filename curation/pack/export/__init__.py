"""A dataset in forms that others read: files of patches, a STAC collection, Parquet. `export.py` has the steps."""
