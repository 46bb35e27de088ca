from __future__ import annotations

import pytest

from pondera.data.adapters import tables
from pondera.errors import DatasetError


def test_a_matlab_file_of_version_7_3_says_how_to_save_it_instead_of_download_it_again(tmp_path):
    path = tmp_path / "scores.mat"
    # Version bytes 0x0200 behind the 124 bytes of header text: what SciPy refuses as HDF5.
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(64))
    with pytest.raises(DatasetError, match=r"format 7\.3 is not read here; save it again with: save -v7"):
        tables._mat_vector(path, "scores")
