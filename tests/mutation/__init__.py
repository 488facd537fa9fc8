"""Mutation testing: small random changes to the code that makes an election safe, each of which some test must notice.

`python -m mutation`, or `make mutate`. The changes are mutmut's; which files are changed says `[tool.mutmut]` in
pyproject.toml. The runner is ours: it collects the tests once and forks for each mutant.
"""
