"""Vectors: the text encoder, the embedding tables' shared steps and the Milvus index."""
