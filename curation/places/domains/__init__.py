"""What a place is of, told from where it lies: a file per domain, vectorised and without the network."""
