"""The synthetic camera's renderer: textures, surfaces, what a view sees of them, and what is true of it."""
