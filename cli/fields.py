"""Options that read their defaults and their help from the configuration's dataclasses."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from typing import Any


def help_of(config: type[Any], field: str) -> str:
    """The docstring under a field of a configuration class."""
    return _docstrings(config)[field]


def default_of(config: type[Any], field: str) -> Any:
    """The default of a field."""
    return next(f.default for f in fields(config) if f.name == field)


def _docstrings(config: type[Any]) -> dict[str, str]:
    body = ast.parse(inspect.getsource(config)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        is_field = isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if is_field and is_text:
            found[statement.target.id] = inspect.cleandoc(str(following.value.value))  # type: ignore[attr-defined]
    return found
