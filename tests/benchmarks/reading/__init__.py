"""Reading patches of Cloud-Optimised GeoTIFFs, beside other readers."""
