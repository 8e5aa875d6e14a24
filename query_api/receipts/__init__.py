"""What became of a record that a receipt names."""
