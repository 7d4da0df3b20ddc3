"""Keys of a setting that nobody knows, each with the known one that is nearest to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from msgspec import inspect

_SHOWN_MOST = 80


def unknown(setting: object, kind: inspect.Type, where: str = "") -> Iterator[str]:
    """Tell of each key that the setting's form does not have, at every level.

    :param kind: the form, as `msgspec.inspect.type_info` tells it. What differs from it otherwise is passed over:
        whoever converts the setting says so.
    :param where: the place of the setting, for people.
    """
    if isinstance(kind, inspect.UnionType):
        kind = _meant(setting, kind.types)
    if isinstance(kind, inspect.StructType) and isinstance(setting, Mapping):
        forms = {field.encode_name: field.type for field in kind.fields}
        known = [*forms, kind.tag_field] if kind.tag_field else list(forms)
        for key, value in setting.items():
            if key in forms:
                yield from unknown(value, forms[key], f"{where}: {key}" if where else key)
            elif key not in known:
                yield f"{where}: {_says(key, known)}" if where else _says(key, known)
    elif isinstance(kind, inspect.DictType) and isinstance(setting, Mapping):
        for key, value in setting.items():
            yield from unknown(value, kind.value_type, f"{where}[{key!r}]")
    elif isinstance(kind, inspect.ListType | inspect.VarTupleType) and isinstance(setting, list | tuple):
        for at, value in enumerate(setting):
            yield from unknown(value, kind.item_type, f"{where}[{at}]")


def _meant(setting: object, kinds: Collection[inspect.Type]) -> inspect.Type:
    """Return the form that a setting chooses by its tag; of others the only one that has keys, or any."""
    forms = [each for each in kinds if isinstance(each, inspect.StructType)]
    if len(forms) > 1 and isinstance(setting, Mapping):
        forms = [each for each in forms if each.tag_field and setting.get(each.tag_field) == each.tag]
    return forms[0] if len(forms) == 1 else inspect.AnyType()


def _says(key: object, known: Collection[str]) -> str:
    # Whether it is written in capitals depends on the level: easily mistaken, and no sign of another word.
    lower = {each.lower(): each for each in known}
    near = get_close_matches(str(key).lower(), lower, 1)
    got = f"unknown key {key!a:.{_SHOWN_MOST}}"
    if near:
        return f"{got}, the nearest known one is {lower[near[0]]!r}"
    return f"{got}, the known ones are {', '.join(map(repr, sorted(known)))}"
