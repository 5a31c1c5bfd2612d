"""Past work from other programs' files. One importer a file; `read.py` lists them and finds a file's format."""
