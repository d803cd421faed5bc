"""The tables of the pages are what the cards say, and a page without a place for one is refused."""

import runpy

import pytest
from docs_support import ROOT


@pytest.fixture(scope="module")
def tables():
    return runpy.run_path(str(ROOT / "docs" / "figures" / "tables.py"))


def test_pages_hold_the_tables_that_the_cards_make(tables):
    for path, text in tables["pages"]().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run  python docs/figures/tables.py"


def test_a_table_is_replaced_in_its_place_alone(tables):
    page = "a\n<!-- table one: how -->\nold\n<!-- end of table -->\n<!-- table two: how -->\n<!-- end of table -->\nb\n"
    found = tables["with_table"](page, "one", "| new |")
    assert found == page.replace("old", "| new |")
    for name, text in (("three", page), ("one", page + page)):
        with pytest.raises(ValueError, match="places for the table"):
            tables["with_table"](text, name, "| new |")
