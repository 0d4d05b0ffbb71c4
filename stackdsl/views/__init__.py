"""What people and programs see: JSON, tables, lines and graphs; text in, text out, no effects."""
