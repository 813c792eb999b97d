"""Measures of distance, a file each; `known.MEASURES` names them."""
