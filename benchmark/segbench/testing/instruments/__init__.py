"""``segbench verify``: the instruments checked against known quantities, on the user's machine.

One family of checks a file, each with its expected figures and where they come from; ``checks.py`` lists them.
The measuring is always done by the instrument that a run uses, so that a broken one turns its check red.
"""
