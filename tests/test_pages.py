"""Whether the pages of a list can be all of it."""

from __future__ import annotations

import pytest

from bulk_trigger.instances import Instance
from bulk_trigger.reconcile.pages import Pages

REPEATS = "the list gives the same again and again"


def read(*pages: str, counts: tuple[int, ...] = ()) -> Pages:
    """Pages numbered from 0, each with an instance per letter, and the counts that they state."""
    list_ = Pages()
    for number, letters in enumerate(pages):
        page = [Instance(letter, 3377, 1, "", "") for letter in letters]
        list_.add(number, page, counts[number] if counts else 0)
    return list_


@pytest.mark.parametrize(
    ("pages", "held"),
    [
        (("", ""), ""),
        (("ab", "c", ""), "abc"),
        (("ab", "ab", "c"), "abc"),  # page 1 is page 0 once more, where pages count from 1
        (("", "ab", "c"), "abc"),
    ],
)
def test_what_came_once_is_kept_in_order(pages: tuple[str, ...], held: str) -> None:
    found = read(*pages)

    assert [each.instance_id for each in found.instances] == list(held)
    assert (found.repeats, found.contradiction, found.starts_at_1) == (False, "", False)


@pytest.mark.parametrize(
    "pages",
    [
        ("ab", "bc"),
        ("ab", "ba"),
        ("ab", "c", "a"),
        ("ab", "c", "ab"),
        ("ab", "c", "c"),
        ("", "a", "a"),
        ("aa",),
    ],
)
def test_anything_else_that_comes_twice_is_a_contradiction(pages: tuple[str, ...]) -> None:
    """P6: then something may not have come at all. Also within a page: it fills the place of another."""
    assert read(*pages, "z").contradiction == REPEATS


@pytest.mark.parametrize(
    ("counts", "contradiction"),
    [
        ((0, 0, 0), ""),
        ((3, 3, 3), ""),
        ((2, 1, 0), ""),
        ((4, 0, 0), "the list announces 4 instances and gives 3"),
        ((1, 4, 1), "the list announces 4 instances and gives 3"),
        ((0, 0, 9), "the list announces 9 instances and gives 3"),
    ],
)
def test_more_announced_than_given_is_a_contradiction(counts: tuple[int, ...], contradiction: str) -> None:
    """P6: the largest count that any page states; less says nothing, for it is documented in two ways."""
    assert read("ab", "c", "", counts=counts).contradiction == contradiction


def test_a_page_that_comes_once_more_may_still_announce_more() -> None:
    assert read("ab", "ab", counts=(2, 3)).contradiction == "the list announces 3 instances and gives 2"


def test_two_instances_of_one_minute_may_stand_on_one_page() -> None:
    """F66: where a flow can be started twice for a minute, both have the same ID, and the list shows both."""
    pages = Pages()
    earlier = Instance("1-20240101000000", 1, 1, "2024-01-01 00:00:07", "2024-01-01 00:00:00")
    later = Instance("1-20240101000000", 1, 2, "2024-01-01 00:02:00", "2024-01-01 00:00:00")

    pages.add(0, [earlier, later], 2)
    pages.add(1, [], 0)

    assert pages.contradiction == ""
