"""Forms of files of chips: a file each, found by its name."""
