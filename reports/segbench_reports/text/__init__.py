"""Numbers as text, escaping, and Markdown tables."""
