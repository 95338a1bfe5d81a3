"""Images read at places between their pixels: resizing, sampling, deformable convolutions."""
