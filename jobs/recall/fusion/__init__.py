"""Many ranked lists into one: weights, quotas, diversity, exposure, reasons."""
