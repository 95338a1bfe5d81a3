"""How the states of tuples join in the source, as `expr/combiners.py` has it in NumPy."""

JOINS = """
// The better of two values with its index: NaN wins, then the earlier index.
template <class T, class I>
__device__ inline void join_argmax(T& best, I& at, T value, long long place)
{
    bool nan = best != best, other = value != value;
    bool wins = nan != other ? other : best == value || nan ? place < at : value > best;
    if (wins) { best = value; at = I(place); }
}

template <class T, class I>
__device__ inline void join_argmin(T& best, I& at, T value, long long place)
{
    bool nan = best != best, other = value != value;
    bool wins = nan != other ? other : best == value || nan ? place < at : value < best;
    if (wins) { best = value; at = I(place); }
}

__device__ inline float exponential(float x) { return expf(x); }

__device__ inline double exponential(double x) { return exp(x); }

// The maximum, and the sum of exp(x - maximum): equal maxima, infinite ones too, add their sums.
template <class T, class U>
__device__ inline void join_softmax(T& most, U& sum, T other, U more)
{
    T shrinks = most == other ? T(1) : exponential(most < other ? most - other : other - most);
    sum = most >= other ? sum + more * shrinks : sum * shrinks + more;
    most = larger(most, other);
}

// The mean, the sum of squared distances from it, and how many elements there are.
template <class T, class U, class V>
__device__ inline void join_moments(T& mean, U& squares, V& count, T other, U more, V others)
{
    V both = count + others;
    T share = others / (both == V(0) ? V(1) : both), gap = other - mean;
    mean += gap * share;
    squares += more + gap * gap * count * share;
    count = both;
}
"""
