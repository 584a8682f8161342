"""What tasks share whose answers are words: column, metrics, alignments."""

from collections.abc import Sequence
from pathlib import Path

from dld_brain.tasks.base import Rates, Task


class WordsTask(Task):
    """Answers with words, and is scored by how many are right."""

    column = "wrd"
    METRICS = {"WER": False, "CER": False}
    metric = "WER"
    has_silence = True
    symbol = "token"
    key = "tokenizer"

    def scored(self, text: str) -> str:
        """What of a text is compared."""
        return self.text(text)

    def unknown(self, references: Sequence[str]) -> dict[str, int]:
        """None: a word that was never seen is wrong, or spelled right."""
        return {}

    def rates(self, references: list[str], answers: list[str]) -> Rates:
        """WER and CER by jiwer, %, of texts in the same form."""
        import jiwer  # which inference has no need of

        pair = [[*map(self.scored, texts)] for texts in (references, answers)]
        return self.own_first(
            {"WER": 100 * jiwer.wer(*pair), "CER": 100 * jiwer.cer(*pair)}
        )

    def write_details(
        self,
        path: Path,
        ids: list[str],
        references: list[str],
        answers: list[str],
    ) -> None:
        """Writes SpeechBrain's alignments."""
        from speechbrain.utils.metric_stats import ErrorRateStats

        stats = ErrorRateStats()
        stats.append(
            ids, [t.split() for t in answers], [t.split() for t in references]
        )
        with open(path, "w", encoding="utf-8") as file:
            stats.write_stats(file)
