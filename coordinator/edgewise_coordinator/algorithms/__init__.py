"""Server algorithms: how a round's mean update becomes the next weights. One small file each."""
