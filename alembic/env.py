"""Alembic's environment: of the package that runs it, by default of the clone's."""

from importlib import import_module

from alembic import context

package = context.config.attributes.get("package", "app")
environment = import_module(f"{package}.store.migration_environment")
environment.run(import_module(f"{package}.catalogue").default_survey_id)
