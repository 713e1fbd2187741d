"""What benchmarks found: records, JSON and tables, which know nothing of how it was measured."""
