"""Texts of the MiniLM golden file: plain, long, empty, with accents, code, and scripts that WordPiece cuts up."""

MINILM_TEXTS = [
    "How do I bake sourdough bread at home?",
    "A man is playing a guitar.",
    "The stock market fell sharply on Monday after the central bank raised interest rates.",
    "us government ' on the edge of shutdown'",
    "The cat sat on the mat, and the dog barked.",
    "Photosynthesis converts light energy into chemical energy in plants.",
    "microwave would be your best bet .",
    "def quick_sort(values): return values if len(values) < 2 else []",
    "Der Zug nach München fährt um 9 Uhr ab.",
    "café naïve résumé coöperate",
    "Tokyo 東京 is the capital of Japan.",
    "",
    " ",
    "!!!",
    "42",
    "ANTIDISESTABLISHMENTARIANISM is a long word",
    "An aircraft wing produces lift because the pressure below it exceeds the pressure above it.",
    "She said: “I cannot believe it is not butter” — and left.",
    "🎉 party time 🎉",
    # Longer than the 256 tokens of its recipe.
    "The boundary layer separates where the pressure rises along the surface of the wing. " * 25,
]
