"""Labels that come from files instead of a catalog's maps: read, kept below the dataset's folder, found again by patch."""
