"""What texts and tokens of any kind look like on a terminal."""

import pytest

from keytokens.pipelines.report import data, terminal


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("Ġwing", "wing"),
        ("▁wing", "wing"),
        ("##ing", "##ing"),
        ("ĠcafÃ©", "café"),
        ("Ċ", "Ċ"),
        ("▁", "▁"),
        ("\x1b", "\ufffd"),
    ],
)
def test_a_token_is_shown_as_people_read_it(token, name):
    assert terminal.token_name(token) == name


def test_an_id_cannot_steer_the_terminal():
    tokens = (data.KeyToken("Ġwing", 2.0, 1, True), data.KeyToken("Ġ\x1b[2J", 1.0, 2, False))
    example = data.Example(row=0, doc_id="a\x1b[31m\n\rb", text="the\x07 wing", key_tokens=tokens)
    shown = terminal.render_examples([example])
    assert shown == "a\ufffd[31m \ufffdb: the\ufffd wing\n  -> *wing 2.0  Ġ\ufffd[2J 1.0"
