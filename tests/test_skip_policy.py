from skip_policy import refused_skips

NO_SCAN = "Skipped: no scan at ../shared/data/ct"
NO_TOOL = "Skipped: dciodvfy is not installed"


def test_a_missing_tool_is_no_reason_to_skip() -> None:
    assert refused_skips([NO_TOOL], scans_are_here=False) == [NO_TOOL]


def test_missing_scans_are_a_reason_where_there_are_none() -> None:
    assert refused_skips([NO_SCAN, NO_TOOL], scans_are_here=False) == [NO_TOOL]


def test_missing_scans_are_no_reason_where_the_scans_are() -> None:
    assert refused_skips([NO_SCAN], scans_are_here=True) == [NO_SCAN]
