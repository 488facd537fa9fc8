"""The table of cases by which the simulated servers are compared with the real ones.

Each is a coroutine function of a `World`. `CASES` are for one server, of whatever part; `ENSEMBLE_CASES` need three.
"""

from collections.abc import Callable, Coroutine
from typing import Any

Case = Callable[[Any], Coroutine[Any, Any, None]]
CASES: dict[str, Case] = {}
ENSEMBLE_CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def ensemble_case(function: Case) -> Case:
    ENSEMBLE_CASES[function.__name__] = function
    return function
