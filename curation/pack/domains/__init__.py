"""What samples are told to be of, a file per domain; `known.py` lists them."""
