"""The page of examples runs as it stands."""

import doctest
import pathlib

PAGE = pathlib.Path(__file__).parents[2] / "pipelines" / "analysis" / "README.md"


def test_every_example_of_the_page_gives_what_it_shows():
    result = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 30 and result.failed == 0
