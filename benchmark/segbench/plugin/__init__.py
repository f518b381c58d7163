"""The plugin interface: specs, options, hooks, and the registry that loads and looks up plugins."""
