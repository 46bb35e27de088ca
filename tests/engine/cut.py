"""Cuts the built-in model into pieces with `fully_shard`, as one of the processes of torchrun, and saves it.

torchrun --nproc-per-node 2 -m tests.engine.cut FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from torch.distributed.fsdp import fully_shard

from pondera.engine.run_folder import save_model
from pondera.models import load_model
from pondera.models.distribution import is_sharded, joined, world_size


def main() -> None:
    with joined():
        loaded = load_model("nano")
        fully_shard(loaded.family.model)
        assert world_size() == 2 and is_sharded(loaded.family.model)
        save_model(loaded.family, loaded.card, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
