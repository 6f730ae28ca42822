"""What methods and channels compute with: matrices, products, exact sums, histories."""
