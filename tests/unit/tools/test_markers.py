import pytest

from tools.markers import replace_marked

PAGE = "a\n<!-- x:begin -->\nold \\1\n<!-- x:end -->\nb"


def test_only_the_text_between_the_markers_is_replaced() -> None:
    assert replace_marked(PAGE, "x", r"new \1") == "a\n<!-- x:begin -->\nnew \\1\n<!-- x:end -->\nb"
    assert replace_marked(PAGE + PAGE, "x", "", required=False).count("old") == 0


def test_missing_and_single_markers_are_refused() -> None:
    for text in ("no markers", PAGE + PAGE, PAGE.replace("<!-- x:end -->", "")):
        with pytest.raises(ValueError, match="once each"):
            replace_marked(text, "x", "new")
    assert replace_marked("no markers", "x", "new", required=False) == "no markers"
    with pytest.raises(ValueError, match="no partner"):
        replace_marked(PAGE.replace("<!-- x:end -->", ""), "x", "new", required=False)
