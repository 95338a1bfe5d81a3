"""What all operations are written with: axes, operands that fit, bodies, the elementwise bases."""
