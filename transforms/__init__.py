"""Pure functions, value in, value out: video decoding, tracking, geometry, marks, drawing, text, encoding."""
