"""An expression over dotted keys, in a small part of Python's syntax that can neither reach out nor hang."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hpo.errors import ConfigError

_MAX_CHARACTERS = 2_000
_MAX_DEPTH = 100
_MAX_POWER_BITS = 4_096
_MAX_DIGITS = 300

_LITERALS = {"null": None, "true": True, "false": False}
_COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.In: ("in", lambda item, items: item in items),
    ast.NotIn: ("not in", lambda item, items: item not in items),
}
ALLOWED = (
    "allowed are dotted keys (with [0] for an element), numbers, strings, null, true, false, lists and tuples, "
    "== != < <= > >=, in, not in, and, or, not, + - * / // % **, `a if b else c`, and calls of "
    "abs, len, log, max, min, round, sqrt and sum"
)


@dataclass(frozen=True)
class Comparison:
    """The two sides of one comparison, and how it is spelled: `<=` for example."""

    left: Expression
    operator: str
    right: Expression


@dataclass(frozen=True)
class Expression:
    """`text` as it was written; `names` are the dotted keys that it reads."""

    text: str
    names: frozenset[str]
    _node: ast.expr

    @staticmethod
    def parse(text: str) -> Expression:
        """Raises ConfigError, which says what is allowed, for anything else."""
        if len(text) > _MAX_CHARACTERS:
            raise _unreadable(f"{text[:40]} ...", f"it has {len(text)} characters, more than {_MAX_CHARACTERS}")
        try:
            # one that YAML holds in several lines is still one
            node = ast.parse(" ".join(text.split("\n")).strip(), mode="eval").body
        except SyntaxError as error:
            raise _unreadable(text, error.msg) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise _unreadable(text, str(error) or "it is nested too deeply") from error
        return _expression(text, node)

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """What it gives for the values of its names; raises whatever its arithmetic does."""
        return _value(self._node, values)

    @property
    def comparison(self) -> Comparison | None:
        """Its sides when the whole is one comparison of two of them."""
        node = self._node
        if not isinstance(node, ast.Compare) or len(node.ops) != 1:
            return None
        left, right = (_expression(ast.unparse(side), side) for side in (node.left, node.comparators[0]))
        return Comparison(left, _COMPARISONS[type(node.ops[0])][0], right)


def _expression(text: str, node: ast.expr) -> Expression:
    names: set[str] = set()
    _check(node, names, text, _MAX_DEPTH)
    return Expression(text, frozenset(names), node)


def _unreadable(text: str, why: str) -> ConfigError:
    return ConfigError(f"the expression {text!r} cannot be read: {why}; {ALLOWED}")


def _check(node: ast.expr, names: set[str], text: str, depth: int) -> None:
    """Raise ConfigError for what is not allowed below `node`; note the keys in `names`."""
    if depth == 0:
        raise _unreadable(text, "it is nested too deeply")
    key = _key(node)
    if key is not None:
        if any(part.startswith("__") for part in key.split(".")):
            raise _unreadable(text, f"{key} is not allowed")
        if key not in _LITERALS:
            names.add(key)
        return
    for child in _parts(node, text):
        _check(child, names, text, depth - 1)


def _key(node: ast.expr) -> str | None:
    """The dotted key that a chain of names, attributes and whole-numbered subscripts stands for."""
    parts: list[str] = []
    while True:
        match node:
            case ast.Name(id=name):
                return ".".join([name, *reversed(parts)])
            case ast.Attribute(value=owner, attr=name):
                parts.append(name)
            case ast.Subscript(value=owner, slice=ast.Constant(value=int(index))) if not isinstance(index, bool):
                parts.append(str(index))
            case _:
                return None
        node = owner


def _parts(node: ast.expr, text: str) -> list[ast.expr]:
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str()):
            return []
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return items
        case ast.BoolOp(values=operands):
            return operands
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
            return [operand]
        case ast.BinOp(op=kind, left=left, right=right) if type(kind) in _ARITHMETIC:
            return [left, right]
        case ast.Compare(left=left, ops=kinds, comparators=others) if all(
            type(kind) in _COMPARISONS for kind in kinds
        ):
            return [left, *others]
        case ast.IfExp(test=test, body=body, orelse=other):
            return [test, body, other]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return arguments
        case ast.Compare():
            raise _unreadable(text, "`is` is not allowed, write == or !=")
    raise _unreadable(text, f"`{ast.unparse(node)}` is not allowed")


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    key = _key(node)
    if key is not None:
        return _LITERALS[key] if key in _LITERALS else values[key]
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return [_value(item, values) for item in items]
        case ast.BoolOp(op=kind, values=operands):
            return _first_that_decides(isinstance(kind, ast.Or), operands, values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _value(operand, values)
        case ast.UnaryOp(op=kind, operand=operand):
            number = _number(_value(operand, values))
            return -number if isinstance(kind, ast.USub) else number
        case ast.BinOp(op=kind, left=left, right=right):
            return _ARITHMETIC[type(kind)](_number(_value(left, values)), _number(_value(right, values)))
        case ast.Compare(left=left, ops=kinds, comparators=others):
            return _compared(_value(left, values), kinds, others, values)
        case ast.IfExp(test=test, body=body, orelse=other):
            return _value(body if _value(test, values) else other, values)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _FUNCTIONS[name](*(_value(argument, values) for argument in arguments))
    raise AssertionError(f"{ast.unparse(node)} passed the check")


def _first_that_decides(is_or: bool, operands: list[ast.expr], values: Mapping[str, Any]) -> Any:
    for operand in operands[:-1]:
        value = _value(operand, values)
        if bool(value) is is_or:
            return value
    return _value(operands[-1], values)


def _compared(left: Any, kinds: list[ast.cmpop], others: list[ast.expr], values: Mapping[str, Any]) -> bool:
    for kind, other in zip(kinds, others, strict=True):
        right = _value(other, values)
        if not _COMPARISONS[type(kind)][1](_as_list(left), _as_list(right)):
            return False
        left = right
    return True


def _as_list(value: Any) -> Any:
    """A tuple equals the list of the same items: YAML has lists alone."""
    return list(value) if isinstance(value, tuple) else value


def _number(value: Any) -> Any:
    """Arithmetic is for numbers: a string or list times a number could fill the memory."""
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return value


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int):
        if base.bit_length() * abs(exponent) > _MAX_POWER_BITS:
            raise OverflowError(f"{base} ** {exponent} is too large")
    elif base < 0 and exponent != int(exponent):
        raise ValueError(f"{base} ** {exponent} is not a real number")
    return base**exponent


def _round(value: Any, digits: Any = None) -> Any:
    if digits is not None and abs(digits) > _MAX_DIGITS:
        raise ValueError(f"cannot round to {digits} digits")
    return round(_number(value), digits)


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": lambda value: abs(_number(value)),
    "len": len,
    "log": math.log,
    "max": max,
    "min": min,
    "round": _round,
    "sqrt": math.sqrt,
    "sum": lambda items: sum(map(_number, items)),
}
