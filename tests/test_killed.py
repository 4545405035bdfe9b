"""A few of the kills of `python -m tests.killed`, which kills fifty."""

import pytest

from tests import killed


def test_killed_at_random_moments_the_same_command_comes_to_the_same_end(capfd: pytest.CaptureFixture[str]) -> None:
    code = killed.main(3, seed=4, page=False)
    assert code == 0, capfd.readouterr().out
