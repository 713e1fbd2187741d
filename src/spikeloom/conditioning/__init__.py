"""What new trials can be asked for: variables, requests, features and novelty."""
