"""From source to a card's machine code, by NVIDIA's compiler: kept, read, counted."""
