"""Scene: what a picture shows and where, laid out once, whatever draws it."""
