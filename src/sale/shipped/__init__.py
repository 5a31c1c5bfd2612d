"""Knowledge of the embedded pool before its first task: weights fitted on recorded runs, and the recorded work.

The two files beside this one are made by `make results` from the committed records, like the tables of docs/results.md.
"""

from sale.shipped.knowledge import SOURCE, PoolKnowledge, knowledge_of, load_shipped

__all__ = ["SOURCE", "PoolKnowledge", "knowledge_of", "load_shipped"]
