"""Vectors: the text encoder, the steps that embedding tables share, and the Milvus index."""
