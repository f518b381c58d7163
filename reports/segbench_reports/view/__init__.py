"""The content of a report as data without markup."""
