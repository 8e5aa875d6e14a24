"""The filter language of all reads: text to a value, the value to bound SQL, to a Python test, and back to text."""
