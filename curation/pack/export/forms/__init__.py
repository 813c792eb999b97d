"""A file per form: what it makes of a piece of a dataset, and what it writes when all pieces are there."""
