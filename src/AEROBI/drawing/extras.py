"""Libraries that not every installation has: one clear line where one is missing."""

import importlib
import types


class MissingExtraError(ImportError):
    """An optional library is not installed; the message says how to get it."""


def require(module: str, extra: str = "viz") -> types.ModuleType:
    """The module of that name; `extra` is the extra of setup.py that brings it.

    Raises:
        MissingExtraError: it, or something it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise MissingExtraError(
            f"{library} cannot be imported ({error}): pip install '.[{extra}]'") from None
