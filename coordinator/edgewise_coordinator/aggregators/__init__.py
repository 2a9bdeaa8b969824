"""From a round's updates to one vector. One small file an aggregator; none depends on the order of arrival."""
