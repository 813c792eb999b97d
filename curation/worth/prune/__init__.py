"""What of a packed dataset may be left out: copies, what is labelled wrong, what tells little, what there is too much of."""
