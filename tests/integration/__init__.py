"""The production-like run: real services, each a process of its own on loopback, that a dataset is made with."""
