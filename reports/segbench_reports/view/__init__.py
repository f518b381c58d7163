"""What a report shows, as data without markup."""
