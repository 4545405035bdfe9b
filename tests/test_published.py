"""The papers' own numbers: each is of a variant that can be run, or says why it is quoted."""

import pytest

from benchmarks.plugins import load, names
from benchmarks.published import Number, numbers

METHODS = [method for method in names("methods") if numbers(method)]


def number(table: str) -> Number:
    return Number("toy", table, "row", "column", "afew", "official-split", "av", "emotion", "accuracy", 0.5)


@pytest.mark.parametrize("method", METHODS)
def test_a_number_is_of_a_variant_or_says_why_it_is_quoted(method: str) -> None:
    variants = load("methods", method).variants
    for told in numbers(method):
        assert bool(told.variant) != bool(told.reason), f"{told.where}, {told.row}: {told.variant} {told.reason}"
        assert not told.variant or told.variant in variants


def test_a_table_is_named_as_a_reader_calls_it() -> None:
    spelled = {"3": "Table 3", "IV": "Table IV", "Fig. 6": "Fig. 6", "section 3": "section 3", "Table 2": "Table 2"}
    assert {table: number(table).where for table in spelled} == spelled
