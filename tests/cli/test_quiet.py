"""What libraries say to developers stays away from a command's user."""

import warnings

from pondera.cli.options import quiet_loading


def test_a_renaming_inside_the_library_is_not_reported_and_other_warnings_are():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        quiet_loading()
        warnings.warn(
            "`past_key_values` is deprecated and will be removed in version 5.40.0", FutureWarning, stacklevel=1
        )
        warnings.warn("Both `past_key_values` and `cache` are set", FutureWarning, stacklevel=1)
        warnings.warn("`something_else` is deprecated", FutureWarning, stacklevel=1)
    assert [str(item.message) for item in seen] == ["`something_else` is deprecated"]
