"""Numbers in words, escaping and tables of one markup."""
