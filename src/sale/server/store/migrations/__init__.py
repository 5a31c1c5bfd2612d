"""The history of the store's tables, one named idea a revision, run by the store itself when it is opened.

A new revision is a file in `versions` that names the one before it; `schema.HEAD` then names it. Tests run all of them
on an empty database and compare the result with `schema`.
"""
