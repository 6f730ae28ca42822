"""Effects on Milvus, one module an effect."""
