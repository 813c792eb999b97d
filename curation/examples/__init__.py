"""Training programs to be read, copied and changed. Nothing imports them."""
