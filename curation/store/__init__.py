"""Bytes: where they are kept and how they are reached. The only code that makes bytes visible."""
