"""Tasks of the bench: schema, files, loaders of every source, and the set that ships."""
