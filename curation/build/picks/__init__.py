"""How a source's scene is picked: a file per pick."""
