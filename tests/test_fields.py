"""Whole numbers and flow IDs as texts: which are read, and what is said of the others."""

from __future__ import annotations

import pytest

from bulk_trigger.reader.fields import INT64_MAX, Refusal, quote, read_flow_id, whole_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("3377", 3377),
        ("9223372036854775807", INT64_MAX),
        ("9223372036854775808", None),
        ("10000000000000000000", None),
        ("0", None),
        ("03377", None),
        ("+3377", None),
        ("3_377", None),
        (" 3377", None),
        ("3377\n", None),
        ("\N{ARABIC-INDIC DIGIT THREE}", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_only_the_canonical_form_within_64_bits_is_a_whole_number(text: str, number: int | None) -> None:
    """P25."""
    assert whole_number(text) == number


@pytest.mark.parametrize(
    ("text", "what", "cure"),
    [
        ("", "is empty", "fill it in"),
        ("3.377E+03", "lost its digits", "without decimals"),
        ("3377.0", "has a decimal point", "whole number"),
        ('="3377"', "is an Excel formula", "the number alone"),
        ("\ufeff3377", "starts with a byte order mark", "delete the mark"),
        ("9223372036854775808", "does not fit into 64 bits", str(INT64_MAX)),
        ("Flow-ID", "is a second header", "delete the line"),
        ("flow_id", "is a second header", "delete the line"),
        ("\N{ARABIC-INDIC DIGIT THREE}", "digits 0 to 9", "ASCII"),
        ("-3377", "is not a flow ID", "digits only"),
        ("0", "is not a flow ID", "leading zeros"),
        ("my flow", "is not a flow ID", "digits only"),
    ],
)
def test_a_bad_flow_id_is_told_with_what_happened_to_it_and_the_cure(text: str, what: str, cure: str) -> None:
    """P25: each mistake that people make has words of its own."""
    refusal = read_flow_id(text)

    assert isinstance(refusal, Refusal)
    assert refusal.reason == "bad-flow-id"
    assert refusal.message.startswith(quote(text))
    assert what in refusal.message
    assert cure in refusal.cure


def test_a_value_in_a_message_is_quoted_shortened_and_escaped() -> None:
    assert quote("x" * 60) == f"'{'x' * 60}'"
    assert quote("x" * 61) == f"'{'x' * 57}...'"
    assert quote("a\x1b[31m") == r"'a\x1b[31m'"


def test_a_flow_id_is_read_as_the_number_that_it_is() -> None:
    assert (read_flow_id("1"), read_flow_id("3377"), read_flow_id(str(INT64_MAX))) == (1, 3377, INT64_MAX)
