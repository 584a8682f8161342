"""One run: models, data, training, evaluation."""

import contextlib
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any, Optional

import speechbrain as sb
from dld_brain.files.whole import named
from dld_brain.model_folder import PretrainedModel, load_pretrained
from dld_brain.run import (
    belongings,
    fitting,
    hours,
    own_speech,
    speech,
    start,
    vocabulary,
)
from dld_brain.run.config import Composed, Overrides, compose, load_hparams
from dld_brain.run.finish import Finish
from dld_brain.run.hub_model import settings_of_model
from dld_brain.run.language_model import with_language_model
from dld_brain.run.record import command_of, training_speech
from dld_brain.run.scoring import Scoring
from dld_brain.run.teaching import teaching
from dld_brain.tasks import Task, find_task
from dld_brain.tasks.language_model import check_language_model
from dld_brain.training.brain import DLDBrain
from dld_brain.training.clock import read_training
from dld_brain.training.progress import Progress
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger
from speechbrain.utils.run_opts import RunOptions
from speechbrain.utils.seed import seed_everything

logger = get_logger(__name__)
#: What goes to the console, and what to log.txt alone.
LOG_CONFIG = Path(__file__).with_name("log_config.yaml")


class Run:
    """One run of a recipe: settings, task and folders, held once.

    Settings are checked when it is made, before data is touched.

    Arguments
    ---------
    overrides : dict
        Settings of the command line, by key.
    later : float
        Layer passes, of each batch of an epoch, of the run that waits for
        this one; see `Progress`.
    """

    def __init__(
        self,
        hparams_file: str,
        run_opts: RunOptions,
        overrides: Overrides,
        later: float = 0.0,
    ) -> None:
        self.run_opts = run_opts
        self.overrides = overrides
        self.later = later
        self.folders_held = belongings.Folders()
        #: Settings that follow from the model and the data that were found.
        self.found: dict[str, Any] = {}
        #: The models that the run starts from: folders, by role.
        self.folders: dict[str, str] = {}
        #: Splits that are scored against the teacher's transcripts.
        self.judged_by_teacher: list[str] = []
        composed = compose(hparams_file, overrides)
        settings = composed.settings()
        own_speech.check_data_folder(settings)
        if settings.evaluation.lm is not None:
            check_language_model(settings.evaluation.lm, settings.encoder.task)
        self.found |= settings_of_model(composed, overrides)
        self._read(compose(hparams_file, {**overrides, **self.found}))

    def _read(self, composed: Composed) -> None:
        """Takes settings, and makes the objects that they name."""
        self.composed = composed
        self.settings = self.composed.settings()
        self.hparams = load_hparams(self.composed)
        self.modules = self.hparams["modules"]
        n_total = self.modules["model"].n_total
        self.settings.check_depths(n_total)
        self.gate_sampler = fitting.make_gate_sampler(
            self.settings, self.modules["model"]
        )
        self.is_training = not (
            self.run_opts.test_only or self.settings.evaluation.export_only
        )
        self.progress = Progress(
            self.settings.title,
            self.settings.optimisation.number_of_epochs,
            fitting.mean_passes(self.settings, self.gate_sampler, n_total),
            later=self.later,
            is_shown=not self.run_opts.noprogressbar,
        )

    def prepare(self) -> "Run":
        """Finds models, data and vocabulary; makes the Brain.

        What it starts from is trained first where it is not there yet.
        """
        with self._gives_up_its_folders():
            return self._prepare()

    def _prepare(self) -> "Run":
        """Does so, in folders that are held."""
        models = start.named_models(self.settings)
        self.folders_held.hold(self.settings)
        self._make_folder()
        self._leave_out_absent_splits()
        self.csv_folder = speech.prepare(self.settings, self.is_training)
        self._follow_the_hours(models)
        if self.is_training:
            belongings.keep_settings(
                self.composed, self.settings.start.output_folder
            )
        settings, models = self.settings, self._find_models(models)
        task = vocabulary.find_vocabulary(
            settings,
            vocabulary.of_the_vocabulary(settings, models, self.folders),
        )
        teacher = models.get(self.folders.get("teacher", ""))
        self._transcribe(teacher or models.get(settings.start.teacher))
        start.copy_start(settings.start, self.folders, models, self.modules)
        self.task = self._whole_task(task)
        if self.is_training:
            belongings.check_checkpoints(settings, self.csv_folder, teacher)
        seed_everything(settings.start.seed)
        self.brain = self._make_brain(teacher)
        if self.is_training:  # what is wrong with its speech shows here
            self.speech_sets = fitting.speech_sets(
                settings, self.task, self.csv_folder
            )
        return self

    def fit(self) -> "Run":
        """Trains, but for an evaluation alone; then averages checkpoints."""
        with self._gives_up_its_folders():
            if self.is_training:
                self._keep_what_it_starts_from()
                fitting.fit(self.brain, self.settings, *self.speech_sets)
                self.progress.close()
            self.brain.load_average()
        return self

    def finish(self) -> None:
        """Writes the folder of the model, and scores it at every depth."""
        command = command_of(self.composed.hparams_file, self.overrides)
        scoring = Scoring(
            self.settings,
            self.brain,
            self.task,
            self.csv_folder,
            command,
            self.judged_by_teacher,
        )
        with self._gives_up_its_folders():
            Finish(scoring).run(self.hparams)
        self.folders_held.release()

    @contextlib.contextmanager
    def _gives_up_its_folders(self) -> Iterator[None]:
        """Lets others have the folders if anything is raised."""
        try:
            yield
        except BaseException:
            self.folders_held.release()
            raise

    def _run(self, hparams_file: str, overrides: dict[str, Any]) -> None:
        """Runs another recipe first, with the same options."""
        later = self.progress.own + self.later
        first = Run(hparams_file, self.run_opts, overrides, later)
        first.prepare().fit().finish()
        self.progress.before += first.progress.before + first.progress.own

    def _follow_the_hours(self, models: dict[str, PretrainedModel]) -> None:
        """Takes the settings that the amount of speech decides."""
        told = self.settings.data
        column = find_task(self.settings.encoder.task).column
        amount = hours.amount_of(
            self.csv_folder, list(told.train_splits), column, told.text_case
        )
        models = vocabulary.of_the_vocabulary(
            self.settings, models, start.sources_of(self.settings)
        )
        task = next((model.task for model in models.values()), None)
        changes = hours.defaults_for(amount, self.composed, task)
        if changes:
            self._change(changes, hours.in_words(amount, changes))

    def _leave_out_absent_splits(self) -> None:
        """Does without test splits that nobody asked for and are not there."""
        told = self.settings.data
        absent = speech.absent_splits(told)
        if absent and "test_splits" not in self.overrides:
            kept = [s for s in told.test_splits if s not in absent]
            line = f"{told.data_folder} has no {', '.join(absent)}: left out"
            self._change({"test_splits": kept}, line)

    def _change(self, changes: dict[str, Any], why: str) -> None:
        """Takes settings that follow from what was found, and says so."""
        if if_main_process():
            print(why)
        logger.info(why)
        self.found |= changes
        overrides = {**self.overrides, **self.found}
        self._read(compose(self.composed.hparams_file, overrides))

    def _make_folder(self) -> None:
        """Makes the output folder, with its log."""
        folder = self.settings.start.output_folder
        with named(Path(folder)):
            sb.create_experiment_directory(
                experiment_directory=folder,
                save_env_desc=self.is_training,
                log_config=self.run_opts.log_config or str(LOG_CONFIG),
            )

    def _transcribe(self, teacher: Optional[PretrainedModel]) -> None:
        """Has the teacher transcribe what is trained on, if it is to."""
        if self.settings.data.transcripts != "teacher":
            return
        told = self.settings, self.csv_folder
        self.judged_by_teacher = own_speech.judged_by_teacher(*told)
        self.csv_folder = speech.transcribe(*told, teacher, self.is_training)

    def _find_models(
        self, models: dict[str, PretrainedModel]
    ) -> dict[str, PretrainedModel]:
        """With those that training starts from, which may be trained first."""
        if not self.is_training:
            return models
        self.folders = start.find_models(
            self.composed, self.settings, self._run
        )
        others = set(self.folders.values()) - set(models)
        return {**models, **{f: load_pretrained(f) for f in others}}

    def _whole_task(self, task: Optional[Task]) -> Task:
        """The task with vocabulary, metric and case; fits the test speech.

        Arguments
        ---------
        task : Task, optional
            With the vocabulary of the models that the run starts from.
        """
        settings = self.settings
        task = belongings.kept_vocabulary(
            settings, task, self.csv_folder, self.is_training
        )
        task = belongings.compared_by(settings, task)
        task = task.with_text_case(settings.data.text_case)
        # What cannot be decoded, or spelled, is said before training.
        vocabulary.check_test_speech(settings, self.csv_folder, task)
        decoding = settings.evaluation.decoding
        task.with_decoding(decoding.name, decoding.options)
        with_language_model(settings.evaluation, task)
        return task

    def _make_brain(self, teacher: Optional[PretrainedModel]) -> DLDBrain:
        """Makes the Brain, which logs to a file and to what is asked for."""
        told = self.settings.start
        loggers = [self.hparams["train_logger"]]
        other = told.logger.make(folder=told.output_folder)
        heard = training_speech(self.settings, self.csv_folder)
        return fitting.make_brain(
            self.settings,
            self.hparams,
            self.run_opts,
            task=self.task,
            gate_sampler=self.gate_sampler,
            teacher=teaching(
                self.settings, teacher, self.folders.get("teacher", "")
            ),
            longest=heard["longest_utterance"] or inf,
            train_loggers=loggers + ([other] if other else []),
            progress=self.progress,
        )

    def _keep_what_it_starts_from(self) -> None:
        """Keeps the teacher's scores, and what the first model took."""
        if "teacher" in self.folders:
            start.keep_teacher_report(
                self.folders["teacher"], self.settings.start.save_folder
            )
        if "init_from" in self.folders:
            before = read_training(self.folders["init_from"])
            self.brain.clock.spent.before = before
