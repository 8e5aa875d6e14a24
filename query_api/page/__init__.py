"""The page for a browser: static files, and how they are served."""
