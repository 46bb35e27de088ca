"""The HTTP application: a model behind the protocol that chat clients speak."""

from pondera.serve.app import Limits, create_app

__all__ = ["Limits", "create_app"]
