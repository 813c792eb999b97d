"""What splits a dataset when it is packed: a rule a file."""
