"""LLVM text as it grows: lines and names, nested scopes, vectors with operators."""
