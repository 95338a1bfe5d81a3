"""Matrix products on cards: found in a nest, cut into tiles, multiplied by threads or warps."""
