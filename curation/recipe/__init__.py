"""What dataset to make: recipes, sources and catalogs, as TOML states them."""
