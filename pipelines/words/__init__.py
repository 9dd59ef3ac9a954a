"""Words and their vectors, classical and of LLM embedders: reading, embedding, comparing, the report."""
