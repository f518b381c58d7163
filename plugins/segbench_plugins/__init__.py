"""Built-in plugins of segbench: each folder's ``__init__.py`` is the catalogue page of its kind."""
