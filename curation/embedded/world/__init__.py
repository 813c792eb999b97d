"""The ground truth of the embedded Earth."""
