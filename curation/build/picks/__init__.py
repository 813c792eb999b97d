"""How scenes become a patch's pixels, a file per pick: its keys, ranking, reads, reading and facts."""
