"""Operations along axes: sums, extremes, statistics, running totals."""
