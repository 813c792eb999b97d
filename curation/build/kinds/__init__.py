"""What pixels are, a file per kind: its keys, how it is read, drawn and packed."""
