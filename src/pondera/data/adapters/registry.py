"""The registry of data sets: one line of data each.

Third parties add theirs with the entry point `pondera.datasets`.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from importlib.metadata import entry_points

from pondera.data.adapters.base import Adapter
from pondera.errors import ConfigError

ENTRY_POINTS = "pondera.datasets"

_BUILT_IN = (
    ("koniq10k", "pondera.data.adapters.authentic:KonIQ10k"),
    ("spaq", "pondera.data.adapters.authentic:SPAQ"),
    ("livec", "pondera.data.adapters.authentic:LiveChallenge"),
    ("bid", "pondera.data.adapters.authentic:BID"),
    ("cid2013", "pondera.data.adapters.authentic:CID2013"),
    ("biq2021", "pondera.data.adapters.authentic:BIQ2021"),
    ("flive", "pondera.data.adapters.authentic:FLIVE"),
    ("kadid10k", "pondera.data.adapters.synthetic:KADID10k"),
    ("tid2013", "pondera.data.adapters.synthetic:TID2013"),
    ("csiq", "pondera.data.adapters.synthetic:CSIQ"),
    ("live", "pondera.data.adapters.synthetic:LIVE"),
    ("pipal", "pondera.data.adapters.restored:PIPAL"),
    ("liu13", "pondera.data.adapters.restored:Liu13"),
    ("sriqa-bench", "pondera.data.adapters.restored:SRIQABench"),
    ("agiqa3k", "pondera.data.adapters.generated:AGIQA3K"),
    ("evalmuse", "pondera.data.adapters.generated:EvalMuse"),
    ("lgvq", "pondera.data.adapters.generated:LGVQ"),
    ("ava", "pondera.data.adapters.aesthetics:AVA"),
    ("tad66k", "pondera.data.adapters.aesthetics:TAD66K"),
    ("flickr-aes", "pondera.data.adapters.aesthetics:FlickrAES"),
    ("para", "pondera.data.adapters.aesthetics:PARA"),
    ("aadb", "pondera.data.adapters.aesthetics:AADB"),
    ("lsvq", "pondera.data.adapters.videos:LSVQ"),
    ("konvid1k", "pondera.data.adapters.videos:KoNViD1k"),
    ("live-vqc", "pondera.data.adapters.videos:LiveVQC"),
    ("youtube-ugc", "pondera.data.adapters.videos:YouTubeUGC"),
    ("cvd2014", "pondera.data.adapters.videos:CVD2014"),
    ("live-yt-gaming", "pondera.data.adapters.videos:LiveYTGaming"),
)

_TARGET_OF: dict[str, str] = {}


def register(name: str, target: str) -> None:
    """Add a data set.

    Args:
        name: what users call it; lower case.
        target: `module:Class` of its adapter, imported when it is asked for.

    Raises:
        ConfigError: the name is taken.
    """
    if name in _TARGET_OF:
        raise ConfigError(f"data set {name!r} is registered twice: {_TARGET_OF[name]} and {target}; rename one")
    _TARGET_OF[name] = target


def adapter_names() -> list[str]:
    """All names: built-in ones in order of family, then those of installed packages."""
    _load_entry_points()
    return list(_TARGET_OF)


def get_adapter(name: str) -> Adapter:
    """The adapter of this name.

    Raises:
        ConfigError: there is none; the message suggests names.
    """
    _load_entry_points()
    if name not in _TARGET_OF:
        near = difflib.get_close_matches(name.lower(), _TARGET_OF, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "see: pondera data list"
        raise ConfigError(f"no data set is called {name!r}; {hint}")
    module, _, attribute = _TARGET_OF[name].partition(":")
    adapter: Adapter = getattr(import_module(module), attribute)()
    return adapter


def _load_entry_points() -> None:
    for point in entry_points(group=ENTRY_POINTS):
        if _TARGET_OF.get(point.name) != point.value:  # seen in an earlier call
            register(point.name, point.value)


for _name, _target in _BUILT_IN:
    register(_name, _target)
