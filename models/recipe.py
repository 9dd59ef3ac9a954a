"""A `Recipe`: how texts become vectors, apart from the weights."""

import dataclasses

from keytokens.models.errors import ModelError

# How token states become one vector. "decoder" pools nothing: an encoder-decoder's first decoder step reads all states.
POOLINGS = ("mean", "weightedmean", "lasttoken", "cls", "mask", "mean_sqrt_len_tokens", "max", "decoder")
ATTENTIONS = ("checkpoint", "causal", "bidirectional")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What sentence-transformers files, the registry or the user say about an embedder.

    Attributes:
      pooling: how token states become one vector; one of POOLINGS.
      prompt: put before each document; where it contains {}, the document takes that place. "" for none.
      include_prompt: whether the prompt's tokens, and with a prompt the special tokens before the text, are pooled.
      normalize: whether the embedder's own vectors are of unit length. Ours never are; cosine is what it changes.
      max_length: tokens, special tokens included; of a longer text the end is cut off, never the prompt.
      query_prompt: the prompt of queries; None where they are treated as documents.
      brackets: two characters whose tokens enclose a document's (SGPT's specb), or "".
      query_brackets: the same for queries; None as for documents.
      include_special: whether special tokens are pooled.
      end_token: stands last, whether or not the tokenizer adds it; "" for whatever the tokenizer does.
      instruction: template of a prompt that carries an {instruction}; "" where the embedder follows none.
      lowercase: texts are lowercased before the tokenizer sees them.
      attention: "causal" or "bidirectional" against the configuration, or "checkpoint" for what it says.
    """

    pooling: str
    prompt: str = ""
    include_prompt: bool = True
    normalize: bool = False
    max_length: int = 512
    query_prompt: str | None = None
    brackets: str = ""
    query_brackets: str | None = None
    include_special: bool = True
    end_token: str = ""
    instruction: str = ""
    lowercase: bool = False
    attention: str = "checkpoint"

    def __post_init__(self):
        if self.pooling not in POOLINGS:
            raise ModelError(f"pooling={self.pooling!r} is not implemented; {', '.join(POOLINGS)} are.")
        if self.attention not in ATTENTIONS:
            raise ModelError(f"attention={self.attention!r} is not one of {', '.join(ATTENTIONS)}.")
        for prompt in (self.prompt, self.query_prompt or ""):
            if prompt.count("{}") > 1:
                raise ModelError(
                    f"prompt {prompt!r} has {prompt.count('{}')} places {{}} for the text; it may have one."
                )
        for brackets in (self.brackets, self.query_brackets or ""):
            if len(brackets) not in (0, 2):
                raise ModelError(f"brackets={brackets!r} must be two characters, one for either side, or none.")
        if self.max_length < 1:
            raise ModelError(f"max_length={self.max_length} tokens leave no room for a text.")

    def with_instruction(self, instruction: str) -> "Recipe":
        """The recipe of texts that come with this instruction, such as "Retrieve passages that answer the question".

        Raises:
          ModelError: the embedder follows no instructions.
        """
        if not self.instruction:
            raise ModelError(
                "this embedder was not trained to follow instructions and has no place for one; put it into the prompt."
            )
        prompt = self.instruction.replace("{instruction}", instruction)
        return dataclasses.replace(self, prompt=prompt, query_prompt=prompt)

    def around(self, *, query: bool) -> tuple[str, str]:
        """What stands before and after a document, or a query."""
        prompt = self.query_prompt if query and self.query_prompt is not None else self.prompt
        before, _, after = prompt.partition("{}")
        return before, after

    def bracketed(self, *, query: bool) -> str:
        """The brackets of documents, or of queries."""
        return self.query_brackets if query and self.query_brackets is not None else self.brackets
