"""Elementary functions as inline vector code, and the fits of their polynomials."""
