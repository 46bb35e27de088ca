"""Adapters of public data sets, by name. An adapter is imported when it is asked for."""

from pondera.data.adapters.base import Adapter
from pondera.data.adapters.registry import adapter_names, get_adapter, register

__all__ = ["Adapter", "adapter_names", "get_adapter", "register"]
