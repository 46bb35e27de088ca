"""Skip this folder where PyAV is missing: image-only installs do without it."""

import pytest

pytest.importorskip("av")
