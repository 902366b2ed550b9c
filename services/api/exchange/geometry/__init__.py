"""How the formats write places: pure conversions, each with its way back."""
