"""A run that is killed and started again ends as if it had not been."""

import os

import pytest

from tests.fuzz.kills import kills

#: How many kills; 30 for docs/reliability.md.
VARIABLE = "DLD_KILLS"


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_not(tmp_path):
    n = int(os.environ.get(VARIABLE, "2"))
    assert [k for k in kills(n, seed=1, folder=tmp_path) if k.fault] == []
