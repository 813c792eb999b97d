"""What features of samples tell of their labels: probes fitted on some places, scored on others, beside what is free."""
