"""Migrations only add: processes of the release before go on while they run, and afterwards."""

from __future__ import annotations

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

LATER = {
    name: migration
    for (app, name), migration in MigrationLoader(None, ignore_no_migrations=True).disk_migrations.items()
    if app == "progrock" and migration.dependencies and not name.startswith("0001")
}
ADDING = (migrations.CreateModel, migrations.AddField, migrations.AddIndex, migrations.AddConstraint)


def in_the_way(operation: Operation) -> str:
    """Return what about an operation would be in the way of who does not know of it, nothing if it only adds."""
    if not isinstance(operation, ADDING):
        return f"expected one that adds, got {operation.describe()}"
    field = operation.field if isinstance(operation, migrations.AddField) else None
    if field is not None and not field.null and field.db_default is models.NOT_PROVIDED:
        return f"expected null or a db_default, got none: {operation.describe()}"
    return ""


@pytest.mark.parametrize("name", sorted(LATER))
def test_it_only_adds(name: str) -> None:
    assert [said for operation in LATER[name].operations if (said := in_the_way(operation))] == []


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (migrations.RemoveField("job", "title"), "expected one that adds"),
        (migrations.RenameField("job", "title", "name"), "expected one that adds"),
        (migrations.AddField("job", "mood", models.TextField(default="")), "expected null or a db_default"),
        (migrations.AddField("job", "mood", models.TextField(db_default="")), ""),
        (migrations.AddField("job", "mood", models.TextField(null=True)), ""),
    ],
    ids=lambda value: value.describe() if isinstance(value, Operation) else "",
)
def test_what_does_more_is_found(operation: Operation, said: str) -> None:
    assert in_the_way(operation).startswith(said) if said else in_the_way(operation) == ""
