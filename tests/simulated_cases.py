"""All cases of the conformance suite, by file."""

import simulated_cases_acl
import simulated_cases_ensemble
import simulated_cases_multi
import simulated_cases_nodes
import simulated_cases_order
import simulated_cases_sessions
import simulated_cases_watches
from simulated_table import CASES, ENSEMBLE_CASES, Case

__all__ = ["CASES", "ENSEMBLE_CASES", "FILES", "Case"]

FILES = [
    simulated_cases_nodes,
    simulated_cases_multi,
    simulated_cases_watches,
    simulated_cases_sessions,
    simulated_cases_order,
    simulated_cases_acl,
    simulated_cases_ensemble,
]
