"""Where and how work runs: clusters, progress, and how a command ends."""
