"""Which way of training is best at which depth?

> python benchmarks/compare_methods.py --corpus SpokenCommands \
      --data_folder results/SpokenCommands/data --methods dld plus static
> python benchmarks/compare_methods.py --corpus AN4 --data_folder /an4 \
      --teacher results/AN4/conformer_teacher/1986/pretrained --equal compute

Trains each method of methods.yaml with each seed from one teacher, by
train.py; what is finished is not trained again, what was interrupted goes on.
Writes <output>/<corpus>/equal_updates.md or equal_compute_<reference>.md, .png
and .json; each run's report stays in its folder there.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Optional

from comparison import Row, curves, differences, draw, read_row, table
from jobs import Job, for_updates, longer, mean_passes
from timing import machine
from tqdm import tqdm

from dld_brain.files.whole import write_text
from dld_brain.model_folder import load_pretrained
from dld_brain.run.tree import read_tree


class Comparison:
    """The models of a comparison."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        content = read_tree(Path(__file__).with_name("methods.yaml"))
        self.methods = content["methods"]
        self.corpus = content["corpora"][options.corpus]
        self.depths = options.depths or list(self.corpus["depths"])
        self.folder = Path(options.output, options.corpus).resolve()
        self.shared = {
            **content["shared"],
            "corpus": options.corpus,
            "data_folder": str(Path(options.data_folder).resolve()),
            "test_depths": self.depths,
        }
        self.teacher = Path(
            options.teacher or self.folder / "teacher/pretrained"
        ).resolve()

    @property
    def name(self) -> str:
        """What the methods have alike; names their folder, and the table."""
        if self.options.equal == "compute":
            return f"equal_compute_{self.options.reference}"
        return "equal_updates"

    def teacher_job(self) -> Job:
        """The teacher."""
        settings = {
            **self.shared,
            "seed": self.options.seeds[0],
            **self.corpus["teacher"],
            **settings_of(self.options),
        }
        settings.pop("updates", None)
        return Job(
            "hparams/conformer_teacher.yaml", settings, self.teacher.parent
        )

    def job(
        self, method: str, seed: int, n_layers: Optional[int] = None
    ) -> Job:
        """A model.

        Arguments
        ---------
        n_layers : int, optional
            Depth of a model that has one depth alone.
        """
        entry = self.methods[method]
        settings = {
            **self.shared,
            "seed": seed,
            **self.corpus["student"],
            **entry["settings"],
            **settings_of(self.options),
        }
        # The reference of equal compute is that of equal updates.
        is_same = method == self.options.reference
        folder = self.folder / ("equal_updates" if is_same else self.name)
        folder = folder / method
        if n_layers is not None:
            settings |= {entry["one_model_a_depth"]: n_layers}
            settings |= {"test_depths": [n_layers]}
            folder = folder / f"n{n_layers}"
        models = {"TEACHER": str(self.teacher)}
        if "starts_from" in entry:
            before = self.job(entry["starts_from"], seed).folder
            models["BEFORE"] = str(before / "pretrained")
        settings = {
            key: models.get(value, value) if isinstance(value, str) else value
            for key, value in settings.items()
        }
        updates = settings.pop("updates")
        job = Job(entry["hparams"], settings, folder / str(seed))
        return for_updates(job, updates)

    def jobs(self, method: str) -> dict[int, list[Job]]:
        """The models of a method, by seed.

        Returns
        -------
        dict of int to list of Job
            One for each depth, where each is a model of its own.
        """
        is_many = "one_model_a_depth" in self.methods[method]
        depths = self.depths if is_many else [None]
        return {
            seed: [self.job(method, seed, n) for n in depths]
            for seed in self.options.seeds
        }

    def with_equal_compute(self, jobs: list[Job]) -> list[Job]:
        """The same models for as many updates as the reference's compute buys."""
        n_teacher = load_pretrained(str(self.teacher)).modules["model"].n_total
        reference = self.job(self.options.reference, self.options.seeds[0])
        budget = mean_passes(reference, n_teacher)
        return [
            longer(job, budget / mean_passes(job, n_teacher)) for job in jobs
        ]

    def run(self) -> None:
        """Trains what is not trained yet.

        Raises
        ------
        RuntimeError
            If a training fails, once the others have ended.
        """
        if not self.options.teacher and not self.teacher_job().is_done:
            tqdm.write("training the teacher first")
            self.teacher_job().train(self.options.device, self.options.threads)
        first = [m for m in self.options.methods if not self.is_second(m)]
        second = [m for m in self.options.methods if self.is_second(m)]
        for methods in (first, second):
            self.train(
                [
                    job
                    for method in methods
                    for jobs in self.jobs(method).values()
                    for job in jobs
                    if not job.is_done
                ]
            )

    def is_second(self, method: str) -> bool:
        """Whether a method goes on where another has ended."""
        return "starts_from" in self.methods[method]

    def train(self, todo: list[Job]) -> None:
        """Trains models, several at a time.

        Raises
        ------
        RuntimeError
            If a training fails, once the others have ended.
        """
        if self.options.equal == "compute":
            todo = self.with_equal_compute(todo)
        with ThreadPoolExecutor(self.options.jobs) as pool:
            where = self.options.device, self.options.threads
            running = [pool.submit(job.train, *where) for job in todo]
            for done in tqdm(
                as_completed(running), total=len(todo), desc="models"
            ):
                if done.exception() is not None:
                    tqdm.write(str(done.exception()))
        failed = [str(job.folder) for job in todo if not job.is_done]
        if failed:
            raise RuntimeError(
                f"{len(failed)} of {len(todo)} models are not trained; the "
                f"same command goes on: {', '.join(failed)}"
            )

    def rows(self) -> list[Row]:
        """What every method that has finished reached."""
        teacher = [[self.teacher]]
        found = [read_row("the teacher, its own layers", teacher)]
        for method, entry in self.methods.items():
            runs = [
                [job.folder for job in jobs if job.is_done]
                for jobs in self.jobs(method).values()
            ]
            runs = [folders for folders in runs if folders]
            if runs:
                stages = 2 if self.is_second(method) else 1
                found.append(read_row(entry["title"], runs, stages))
        return found

    def write(self) -> str:
        """Writes the table, the picture and the numbers."""
        rows = self.rows()
        path = self.folder / self.name
        text = (
            f"# {self.options.corpus}, {self.name.replace('_', ' ')}\n\n"
            f"{table(rows)}\n"
        )
        if any(row.curve for row in rows):
            text += f"\nLayers that the input decides:\n\n{curves(rows)}\n"
        ours = self.methods["plus"]["title"]
        if ours in [row.title for row in rows]:
            text += f"\n{ours}, less the others:\n\n{differences(rows, ours)}\n"
        write_text(path.with_suffix(".md"), text)
        content = {"machine": machine(), "rows": [r._asdict() for r in rows]}
        write_text(path.with_suffix(".json"), json.dumps(content, indent=2))
        draw(self.drawn(rows), path.with_suffix(".png"), self.options.corpus)
        return text

    def drawn(self, rows: list[Row]) -> list[Row]:
        """The rows of the picture: the teacher's, and those asked for."""
        names = self.options.draw or self.methods
        titles = [self.methods[name]["title"] for name in names]
        return [rows[0], *(row for row in rows if row.title in titles)]


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Further flags of train.py."""
    return dict(read_tree(options.settings))


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    folder = Path(__file__).parent
    content = read_tree(folder / "methods.yaml")
    found = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = found.add_argument
    add("--corpus", required=True, choices=list(content["corpora"]))
    add("--data_folder", required=True)
    names = list(content["methods"])
    add("--methods", nargs="*", default=names, choices=names)
    add(
        "--draw",
        nargs="+",
        choices=names,
        help="methods of the picture; all that are trained if not given",
    )
    add(
        "--depths", nargs="+", type=int, help="those of the corpus if not given"
    )
    add("--seeds", nargs="+", type=int, default=[1986, 1987, 1988])
    add("--equal", choices=["updates", "compute"], default="updates")
    add("--reference", default="dld", choices=names, help="of equal compute")
    add("--teacher", help="folder `pretrained`; trained if not given")
    add("--settings", default="{}", help="further flags, '{d_ffn: 64}'")
    add("--output", default="results/methods")
    add("--jobs", type=int, default=1, help="models trained at a time")
    add("--threads", type=int, default=1, help="of each")
    add("--device", default="cpu")
    return found


def main(arguments: Optional[list[str]] = None) -> None:
    """Runs the benchmark.

    Arguments
    ---------
    arguments : list of str, optional
        The command line; that of the process if not given.
    """
    comparison = Comparison(parser().parse_args(arguments))
    comparison.run()
    print(comparison.write())


if __name__ == "__main__":
    main()
