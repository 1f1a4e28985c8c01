"""The door of the package."""

from __future__ import annotations

import bulk_trigger


def test_the_public_names_are_sorted_and_all_of_them_exist() -> None:
    assert bulk_trigger.__all__ == sorted(bulk_trigger.__all__)
    for name in bulk_trigger.__all__:
        assert getattr(bulk_trigger, name) is not None
    assert dir(bulk_trigger) == bulk_trigger.__all__


def test_what_is_lazily_imported_is_what_is_public() -> None:
    assert set(bulk_trigger._HOME) | {"__version__"} == set(bulk_trigger.__all__)
