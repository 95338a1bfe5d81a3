"""What is known of a kernel or a program from its text: accesses, dependence, lifetimes."""
