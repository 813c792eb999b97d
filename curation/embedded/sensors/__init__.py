"""What sensors see of the embedded Earth."""
