"""Rows, a file per room of the package; `table.TABLE` has those of all files."""
