"""Operations that hold functions: control flow, checkpoints, groups."""
