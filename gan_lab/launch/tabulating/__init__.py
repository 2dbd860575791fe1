"""The fair table: recipes with one budget and several seeds, measured in one way."""
