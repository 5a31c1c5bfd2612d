"""Files of the user: how they are read, how they are written, and who else may read what is kept in them."""
