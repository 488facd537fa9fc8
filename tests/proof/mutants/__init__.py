"""Checking the checkers: bugs planted in production code, which random elections must catch (`python -m proof.mutants`)."""

from .leases import LEASES
from .mutant import Change, Mutant
from .takeovers import TAKEOVERS
from .terms import TERMS

__all__ = ["MUTANTS", "Change", "Mutant"]

MUTANTS: dict[str, Mutant] = {mutant.name: mutant for mutant in (*LEASES, *TERMS, *TAKEOVERS)}
