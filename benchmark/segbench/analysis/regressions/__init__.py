"""Changes from one run to another, with verdicts: what ``segbench compare`` shows and gates on.

Distinct from :mod:`segbench.analysis.comparisons`, which compares the models of one run.
"""
