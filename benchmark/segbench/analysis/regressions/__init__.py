"""Has anything changed from one run to another, as far as two results can tell: what ``segbench compare`` shows and gates on.

Distinct from :mod:`segbench.analysis.comparisons`, which holds the models of one run against each other.
"""
