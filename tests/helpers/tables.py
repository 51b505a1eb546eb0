"""Tests of tables: one test holds every case of a table, and its message names each case that fails."""

import inspect
import traceback
from functools import wraps

import pytest

from growth import no_hang


def holds_for(names, cases):
    """Call a test with every case, all of them in one test: to pytest, a test costs more than many a case.

    For cases of milliseconds that leave nothing behind: fixtures are made once for all of them.

    Args:
        names: of the arguments that a case gives: one name, or a tuple of names.
        cases: one value each, or a tuple of values.
    """
    cases = list(cases)
    several = isinstance(names, tuple)
    names = names if several else (names,)

    def of(test):
        @wraps(test)
        def whole(**fixtures):
            faults = []
            for case in cases:
                given = dict(zip(names, case if several else (case,), strict=True))
                faults += [f"{case!r:.200}: {fault}" for fault in _faults(test, {**given, **fixtures})]
            assert cases, "a table without a case"
            assert not faults, "\n".join([f"{len(faults)} of {len(cases)} cases fail", *faults])

        left = [it for name, it in inspect.signature(test).parameters.items() if name not in names]
        whole.__signature__ = inspect.Signature(left)
        return whole

    return of


def _faults(test, given):
    """What is wrong in a call of a test; one that hangs is ended, so that it is named like any other."""
    try:
        with no_hang():
            test(**given)
    except (Exception, pytest.fail.Exception) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return [f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"]
    return []
