"""Changes of a lowered program: products taken into loops, memory asked for ahead."""
