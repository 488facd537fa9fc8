"""Real chaos: real servers and candidates on hosts of their own (network namespaces), broken at random for minutes, and
everything that happened judged by the same checkers as simulated histories. Run by `make chaos`, or
`python -m chaos --minutes 2 --seed 7` with tests/ on PYTHONPATH.
"""
