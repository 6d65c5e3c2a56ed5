"""Alembic's environment: of the package that runs it, by default of the clone's."""

from importlib import import_module

from alembic import context

import_module(f"{context.config.attributes.get('package', 'app')}.store.migration_environment").run()
