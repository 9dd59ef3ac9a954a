"""The registry as a table, for people and for JSON."""

from typing import Any

from keytokens.models.zoo import ZOO

# What the checkpoint's own files say, when it is there.
FROM_FILES = "from the checkpoint"


def registry_rows() -> list[dict[str, Any]]:
    """One row per registered model: where it comes from, what decodes it, how texts become vectors."""
    rows = []
    for name, row in ZOO.items():
        recipe = dict(row.recipe)
        rows.append(
            {
                "name": name,
                "checkpoint": row.checkpoint,
                "adapters": list(row.adapters),
                "backbone": row.backbone,
                "head": row.head or "own",
                "pooling": recipe.get("pooling", FROM_FILES),
                "attention": recipe.get("attention", FROM_FILES),
                "prompt": recipe.get("prompt", FROM_FILES),
                "query_prompt": recipe.get("query_prompt", FROM_FILES),
                "instruction": recipe.get("instruction", ""),
                "end_token": recipe.get("end_token", ""),
                "brackets": recipe.get("brackets", ""),
                "query_brackets": recipe.get("query_brackets", ""),
                "normalize": recipe.get("normalize", FROM_FILES),
                "max_length": recipe.get("max_length", FROM_FILES),
                "package": row.package[0] if row.package else "",
            }
        )
    return rows
