"""Iterations whose work a block of a card shares.

    recipe.py           the loops inside are divided among threads; of a kernel that says which may
                        be, by `marked.py`
    turns.py            which iterations of a loop each thread takes
    sums.py             sums of which each thread has a part
    barriers.py         where threads must meet
    shared.py           shared memory, and what does not fit there
"""
