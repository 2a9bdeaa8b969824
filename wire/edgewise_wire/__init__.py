"""What a device and a coordinator must agree on: messages, topics, blobs, the manifest, the transport."""
