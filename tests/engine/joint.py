"""Runs a recipe as one of the processes that torchrun starts, and writes down what this one saw.

torchrun --nproc-per-node N -m tests.engine.joint RECIPE.yaml OUT [A.B=VALUE ...]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from torch.distributed.tensor import DTensor

from pondera.config import load_recipe
from pondera.engine import reinforce, run
from pondera.models.distribution import join, rank, world_size


def main() -> None:
    recipe, out, *overrides = sys.argv[1:]
    join()
    seen: dict[str, Any] = {"world_size": world_size(), "steps": [], "sharded": 0, "parameters": 0}
    me = rank()
    grade, train = reinforce.grade, run._RUN["reinforce"]

    def watched_grade(system: Any, own: Any, everyone: Any, **options: Any) -> Any:
        graded = grade(system, own, everyone, **options)
        seen["steps"].append(
            {
                "pool": [[record.sample.id, *record.texts] for record in everyone],
                "places": [record.place for record in own],
                "reward": graded.reward_GK.tolist(),
                "advantage": graded.advantage_GK.tolist(),
            }
        )
        return graded

    def watched_train(family: Any, *parts: Any, **options: Any) -> None:
        parameters = list(family.model.parameters())
        seen["parameters"], seen["sharded"] = len(parameters), sum(isinstance(p, DTensor) for p in parameters)
        train(family, *parts, **options)

    reinforce.grade, run._RUN["reinforce"] = watched_grade, watched_train
    run.run_recipe(load_recipe(recipe, overrides), Path(out))
    (Path(out) / f"rank{me}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
