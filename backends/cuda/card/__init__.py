"""Cards: their memory, launches and clocks, and arrays that come from them and go there."""
