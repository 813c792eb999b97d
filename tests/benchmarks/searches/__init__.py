"""What searching for the whole recipe costs: counted, and run of a sample."""
