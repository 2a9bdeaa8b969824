"""How one round takes in what its devices report, and what it makes of it. One small file a way of collecting."""
