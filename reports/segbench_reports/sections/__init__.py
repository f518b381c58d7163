"""The parts of the Markdown report: each module gives one, as text without a heading, empty where there is nothing to show."""
