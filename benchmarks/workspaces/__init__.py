"""How often the embedded models repair a small repository, by the way they work.

`python -m benchmarks.workspaces run` asks the models and adds to the record; `report` makes the table of it.
"""
