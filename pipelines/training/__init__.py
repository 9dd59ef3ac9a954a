"""Training a pair: a small LLaMA language model, and the embedder that contrastive learning makes of it."""
