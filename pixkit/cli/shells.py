"""Completion for bash, zsh and fish: as in click, except for words with "=", ":" and ","."""

from __future__ import annotations

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)


class _WholeWords(ShellComplete):
    """Shells treat ``--device=c`` as one word that a completion replaces; click completes only what follows "="."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """As in click, but whole words."""
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if not equals or not option.startswith("-"):
            return found
        return [
            CompletionItem(f"{option}={item.value}", help=item.help) if item.type == "plain" else item for item in found
        ]


class _Bash(_WholeWords, BashComplete):
    """Bash splits ``key=value`` and ``test:5`` into several words, and replaces the last of them."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", 'COMPREPLY+=("$value")\n            [[ $value == *[=.] ]] && compopt -o nospace'
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words as the shell passes them to the command."""
        words, last = super().get_completion_args()
        joined = _joined([*words, last])
        self._head = len(joined[-1]) - len(joined[-1].rpartition("=")[2].rpartition(":")[2]) if joined else 0
        return joined[:-1], joined[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """Leave out what precedes the word that is replaced."""
        return f"{item.type},{str(item.value)[self._head :]}"


def _joined(words: list[str]) -> list[str]:
    """Join words around "=" and ":"."""
    found: list[str] = []
    glue = False
    for word in words:
        breaks = bool(word) and not word.strip("=:")
        if found and (glue or breaks):
            found[-1] += word
        else:
            found.append(word)
        glue = breaks
    return found


class _Zsh(_WholeWords, ZshComplete):
    """No space after a key's "=", or after a section."""

    source_template = (
        ZshComplete.source_template.replace("    local -a response", "    local -a unspaced\n    local -a response")
        .replace(
            'completions+=("$key")',
            'if [[ "$key" == *[=.] ]]; then unspaced+=("$key"); else completions+=("$key"); fi',
        )
        .replace(
            '    if [ -n "$completions" ]; then',
            "    if [ -n \"$unspaced\" ]; then\n        compadd -U -S '' -V unsorted -a unspaced\n    fi\n\n"
            '    if [ -n "$completions" ]; then',
        )
    )


class _Fish(_WholeWords, FishComplete):
    """Completions may contain a comma: the values of a sweep do."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


def prepare() -> None:
    """Register these classes with click for their shells."""
    for one in (_Bash, _Zsh, _Fish):
        add_completion_class(one)
