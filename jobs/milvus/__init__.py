"""Side effects on Milvus, one module an effect."""
