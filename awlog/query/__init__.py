"""Analysis, pure: columns in, values out. Range reads use its rendering."""
