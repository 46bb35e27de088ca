"""What the launch guide hands to other programs is what they read."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

from pondera.config import load_recipe

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(("name", "kind"), [("fsdp2", "FSDP"), ("zero3", "DEEPSPEED")])
def test_accelerate_reads_the_configurations(name, kind):
    config = load_config_from_file(str(DOCS / "launch" / f"{name}.yaml"))  # refuses unknown keys
    assert str(config.distributed_type.value) == kind and config.num_processes == 8
    if kind == "FSDP":
        assert config.fsdp_config["fsdp_version"] == 2
    else:
        assert config.deepspeed_config["zero_stage"] == 3


def test_bash_reads_the_slurm_script():
    subprocess.run(["bash", "-n", DOCS / "launch" / "slurm.sh"], check=True)


def test_recipes_and_settings_of_the_guide_exist():
    text = (DOCS / "distributed.md").read_text(encoding="utf-8")
    commands = [line for line in text.replace("\\\n", " ").splitlines() if "pondera train" in line and "-m " in line]
    assert len(commands) >= 5
    for command in commands:
        recipe = re.search(r"pondera train (\S+)", command).group(1)
        sets = re.findall(r"--set (\S+)", command)
        load_recipe("visualquality-r1-7b" if recipe == "RECIPE" else recipe, sets)
    for path in re.findall(r"docs/(launch/\S+?\.(?:sh|yaml))", text):
        assert (DOCS / path).is_file()
