"""What a model looked at, as files: the pictures of each presentation, frames of clips too, and its words in order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from PIL import Image

from pondera.core.records import Sample
from pondera.data.presentation import Footage, Presentation


class ShownPictures:
    """Writes a folder per file: `01.png`, `02.png`, ... in the order in which they were shown, and `shown.md`.

    Args:
        out: made where it is missing; folders of earlier calls are overwritten.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._used: set[str] = set()

    def __call__(self, item: Any, shown: Presentation) -> None:
        """Write what was shown of one file."""
        item = item.main_path if isinstance(item, Sample) else item
        folder = self.out / self._name(str(item))
        folder.mkdir(parents=True, exist_ok=True)
        lines, number = [f"# {Path(str(item)).name}", ""], 0
        for part in shown.parts:
            if isinstance(part, str):
                lines += [part, ""]
                continue
            if isinstance(part, Footage):
                lines += [f"A clip of {len(part.frames)} frames, {part.rate:.4g} a second:", ""]
            for picture in part.frames if isinstance(part, Footage) else (part,):
                number += 1
                Image.fromarray(picture).save(folder / f"{number:02d}.png")
                lines += [f"![{picture.shape[1]} x {picture.shape[0]}]({number:02d}.png)", ""]
        (folder / "shown.md").write_text("\n".join(lines), encoding="utf-8")

    def _name(self, path: str) -> str:
        """The file's name, with a number where two files share it."""
        base = re.sub(r"[^\w.-]", "_", Path(path).name) or "picture"
        name, number = base, 1
        while name in self._used:
            number += 1
            name = f"{base}-{number}"
        self._used.add(name)
        return name
